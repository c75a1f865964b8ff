package configs

import "time"

// Overload says when the server has too much to do, by how long messages wait, and
// refuses new requests.
type Overload struct {
	// Target is the wait that is too long when every message of an Interval has it; 0
	// refuses nothing.
	Target   time.Duration `yaml:"target" range:"0s..10s"`
	Interval time.Duration `yaml:"interval" range:"10ms..1m"`
	// RetryAfter is the shortest time that the refused are told; the longest is twice
	// as long.
	RetryAfter time.Duration `yaml:"retry_after" range:"1s..1h"`
}

// Stop says how the server ends.
type Stop struct {
	// Drain is how long calls under way have after the signal to end; 0: no time.
	Drain time.Duration `yaml:"drain" range:"0s..1h"`
}
