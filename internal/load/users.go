package load

import (
	"bufio"
	"fmt"
	"io"
)

// WriteUsers writes a users file (auth.users_file) that lets so many phones
// register with their password.
func WriteUsers(to io.Writer, phones int, password string) error {
	w := bufio.NewWriter(to)
	fmt.Fprintln(w, "users:")
	for i := range phones {
		fmt.Fprintf(w, "  - {name: %s, password: %q}\n", UserName(i), password)
	}
	return w.Flush()
}
