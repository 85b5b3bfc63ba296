"""The way in from Debezium: the topics of JSON that it writes for the tables of a database."""
