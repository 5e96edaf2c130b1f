-- Answers: the turn and the session, with a space between them; false if there are none
return redis.call('GET', KEYS[1])
