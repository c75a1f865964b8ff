// Package configs is the configuration: one YAML file.
//
// The types say what can be configured, reveille.yaml (embedded) documents
// every key with its default, Load reads a file and reports all its problems at
// once, each with file, line and column, and Compare says what a reload changes
// and which keys need a restart.
//
// The package imports nothing of the product. internal/app translates a Config
// into the Options of each package; cmd/reveille is the other caller.
//
// Struct tags drive the loader, the schema and the documentation:
//
//	yaml:"name"       the key
//	range:"1..100"    the bounds of a number or duration, both included
//	restart:"yes"     a reload cannot change this key or anything below it
package configs
