pretend key
