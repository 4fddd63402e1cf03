-- Views of Synapse's serverless SQL pool over the table that `goldwire_consumer.spark` keeps.
-- Put in your storage account, your folder, and the attributes of your records with their types.
-- A row stays in the table when its entity is gone, so each view but the last leaves those out.
-- It needs a database with a UTF-8 collation: CREATE DATABASE golden COLLATE Latin1_General_100_BIN2_UTF8

-- 1. Over a Delta table (SparkDeltaTable, DriverDeltaTable).
CREATE OR ALTER VIEW customers AS
SELECT held.entity_id, held.version, held.changed_at, attributes.name, attributes.city, attributes.credit
FROM OPENROWSET(
    BULK 'https://lake.dfs.core.windows.net/golden/customers/',
    FORMAT = 'DELTA'
) WITH (
    entity_id VARCHAR(256),
    entity_type VARCHAR(256),
    version BIGINT,
    changed_at VARCHAR(40),
    gone VARCHAR(20),
    record VARCHAR(MAX)
) AS held
CROSS APPLY OPENJSON(held.record, '$.attributes') WITH (
    name NVARCHAR(400) '$.name.value',
    city NVARCHAR(400) '$.city.value',
    credit FLOAT '$.credit.value'
) AS attributes
WHERE held.gone IS NULL AND held.record IS NOT NULL AND held.entity_type = 'Customer';
GO

-- 2. Over a folder of Parquet files (ParquetTable): of several rows of one entity the one with the most writes counts.
CREATE OR ALTER VIEW customers_of_parquet AS
SELECT newest.entity_id, newest.version, newest.changed_at, attributes.name, attributes.city, attributes.credit
FROM (
    SELECT held.*, ROW_NUMBER() OVER (PARTITION BY held.entity_id ORDER BY held.writes DESC) AS age
    FROM OPENROWSET(
        BULK 'https://lake.dfs.core.windows.net/golden/customers/table/*/*.parquet',
        FORMAT = 'PARQUET'
    ) WITH (
        entity_id VARCHAR(256),
        entity_type VARCHAR(256),
        version BIGINT,
        changed_at VARCHAR(40),
        gone VARCHAR(20),
        record VARCHAR(MAX),
        writes BIGINT
    ) AS held
) AS newest
CROSS APPLY OPENJSON(newest.record, '$.attributes') WITH (
    name NVARCHAR(400) '$.name.value',
    city NVARCHAR(400) '$.city.value',
    credit FLOAT '$.credit.value'
) AS attributes
WHERE newest.age = 1 AND newest.gone IS NULL AND newest.record IS NOT NULL AND newest.entity_type = 'Customer';
GO

-- 3. What is gone, and why; of a merged entity the survivor, to which what refers to it now belongs.
CREATE OR ALTER VIEW customers_gone AS
SELECT held.entity_id, held.version, held.changed_at, held.gone, held.merged_into
FROM OPENROWSET(
    BULK 'https://lake.dfs.core.windows.net/golden/customers/',
    FORMAT = 'DELTA'
) WITH (
    entity_id VARCHAR(256),
    entity_type VARCHAR(256),
    version BIGINT,
    changed_at VARCHAR(40),
    gone VARCHAR(20),
    merged_into VARCHAR(256)
) AS held
WHERE held.gone IS NOT NULL AND held.entity_type = 'Customer';
GO
