package configs

// check looks at what no single key can tell.
func (l *loader) check(cfg *Config) {}
