"""The admin port: what a process tells Prometheus, health checks and operators, apart from its public port."""
