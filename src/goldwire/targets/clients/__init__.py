"""What several target kinds share: HTTP, threads for blocking clients, a broker message, optional packages."""
