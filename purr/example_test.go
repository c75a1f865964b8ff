package purr_test

import (
	"fmt"
	"time"

	"reveille/purr"
	"reveille/usrloc"
)

func Example() {
	ring := purr.Generate(time.Now())

	// The registrar puts a PURR into the 200 to a REGISTER ...
	id := usrloc.BindingID{0: 1, 15: 2}
	first, second := ring.Mint(id), ring.Mint(id)
	fmt.Println(first != second)

	// ... and the proxy finds the binding again when the PURR comes back.
	got, err := ring.Open(first)
	fmt.Println(got == id, err)

	// A PURR gives no right to relay.
	_, err = ring.Unseal(purr.RecordRoute, first)
	fmt.Println(err)
	// Output:
	// true
	// true <nil>
	// purr: invalid token
}
