-- About how many people have traits, visitors among them; for traits in Redis.
SELECT uniq(person) FROM trait_facts
