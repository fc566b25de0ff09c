"""PostgreSQL itself: the embedded server, pools, migrations, and what its errors mean."""
