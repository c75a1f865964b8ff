// Package disk makes the location service of one node durable: the Store is a
// usrloc.Memory whose changes go to a Pebble database.
package disk

import _ "github.com/cockroachdb/pebble/v2" // the database
