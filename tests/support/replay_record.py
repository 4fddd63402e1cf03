"""What a target was sent the first time and by a replay, and a log that is worth repeating."""


def first_and_repeats(world):
    """What was sent the first time and what was repeated, as (entity, version, body)."""
    plain = [(item.event.entity_id, item.event.version, item.event.body) for item in world.target.items if not item.replay_id]
    again = [(item.event.entity_id, item.event.version, item.event.body) for item in world.target.items if item.replay_id]
    return plain, again


def repeated(world, entity_id=None):
    return [
        (item.event.entity_id, item.event.version)
        for item in world.target.items
        if item.replay_id and entity_id in (None, item.event.entity_id)
    ]


def grown(world, rounds=4, entities=("a", "b", "c")):
    for round_ in range(rounds):
        world.commit(*[(entity, {"city": f"{round_}", "name": entity}) for entity in entities])
    world.run()
