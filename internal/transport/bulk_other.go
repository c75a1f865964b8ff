//go:build !linux

package transport

// newBulk returns a bulk of conn.
func newBulk(conn packetConn) (bulk, error) { return single{conn}, nil }
