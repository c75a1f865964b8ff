package transport

import (
	"net"
	"testing"
)

// TestReal_PortsOfTheSystemAreNotShared: the system gives a port that others of the same
// user have, if all of them share, and half of a server's datagrams would go to another.
func TestReal_PortsOfTheSystemAreNotShared(t *testing.T) {
	seen := map[string]bool{}
	for range 600 {
		pc, err := Real{}.ListenPacket(t.Context(), "udp4", "127.0.0.1:0", true)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		addr := pc.LocalAddr().String()
		if seen[addr] {
			t.Fatalf("%s was given twice", addr)
		}
		seen[addr] = true
	}
	// Who knows the port may join.
	var addr net.Addr
	for range 3 {
		name := "127.0.0.1:0"
		if addr != nil {
			name = addr.String()
		}
		pc, err := Real{}.ListenPacket(t.Context(), "udp4", name, true)
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		addr = pc.LocalAddr()
	}
}
