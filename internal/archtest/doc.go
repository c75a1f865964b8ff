// Package archtest holds the project to its architecture. It has tests only:
// imports point down the floors, packages keep no state of their own, metric
// names follow one pattern, docs/conformance.md names tests that exist, and the
// snippets of the README run.
package archtest
