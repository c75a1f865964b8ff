package configs

// Calls say what is remembered of requests that met a sleeping phone, or failed.
type Calls struct {
	// Keep bounds how many, MaxMB their memory in MiB.
	Keep  int `yaml:"keep" range:"16..10000000" restart:"yes"`
	MaxMB int `yaml:"max_mb" range:"1..65536" restart:"yes"`
}

func defaultCalls() Calls { return Calls{Keep: 10000, MaxMB: 32} }
