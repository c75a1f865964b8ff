package configs

import _ "embed"

//go:embed reveille.yaml
var reference []byte

// Reference returns the documented configuration: every key, its default and
// what it does. It loads without a problem and equals Default.
func Reference() []byte { return append([]byte(nil), reference...) }

//go:embed load.yaml
var forLoad []byte

// ForLoad returns the configuration of a server that `reveille load` is to load.
func ForLoad() []byte { return append([]byte(nil), forLoad...) }
