"""The only rooms that import Airflow. This module and `provider` must not: Airflow loads them while it is being imported itself."""
