package event

import "reflect"

// DataType is the struct behind Envelope.Data in events of a type; its json and doc tags
// describe its form.
func (t TypeInfo) DataType() reflect.Type { return reflect.TypeOf(t.Example.data(Tokens)) }
