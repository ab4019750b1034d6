#!lua flags=allow-oom
-- head: stands in front of every script but add, help (what several of them do) behind it. A full Redis must still drain, hence allow-oom.
-- KEYS[1] is the base "PREFIX:NAME:"; all keys of a queue begin with it, so one hash tag covers them.
local call = redis.call
local B = KEYS[1]
