package webpush

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// errWouldConnect ends a connection that the guard lets through.
var errWouldConnect = errors.New("would connect")

// answering is a resolver whose name servers say that every name has the address
// that addr holds at that moment.
func answering(t *testing.T, addr *atomic.Value) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			// As net.Pipe is no packet connection, messages have a length before them.
			var size [2]byte
			if _, err := io.ReadFull(server, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(server, query); err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(query); err != nil {
				t.Errorf("query: %v", err)
				return
			}
			q := m.Questions[0]
			a, _ := addr.Load().(netip.Addr)
			m.Response, m.Additionals = true, nil
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}
			switch {
			case q.Type == dnsmessage.TypeA && a.Is4():
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: a.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			out, err := m.Pack()
			if err != nil {
				t.Errorf("answer: %v", err)
				return
			}
			_, _ = server.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...))
		}()
		return client, nil
	}}
}

// TestGuard_RebindingName: a name that was allowed leads somewhere else when it
// is asked for again. What counts is where the connection would go.
func TestGuard_RebindingName(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string
		want    []error
	}{
		{"public", []string{"93.184.216.34"}, []error{errWouldConnect}},
		{"then loopback", []string{"93.184.216.34", "127.0.0.1"}, []error{errWouldConnect, errPrivate}},
		{"metadata of a cloud", []string{"169.254.169.254"}, []error{errPrivate}},
		{"this host", []string{"0.0.0.0"}, []error{errPrivate}},
		{"network of a carrier", []string{"100.64.1.1"}, []error{errPrivate}},
		{"private", []string{"10.0.0.1"}, []error{errPrivate}},
		{"IPv4 in IPv6", []string{"::ffff:127.0.0.1"}, []error{errPrivate}},
		{"NAT64", []string{"64:ff9b::a9fe:a9fe"}, []error{errPrivate}},
		{"loopback of IPv6", []string{"::1"}, []error{errPrivate}},
		{"public IPv6", []string{"2606:2800:220:1::1"}, []error{errWouldConnect}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := newGuard([]string{"push.example.net"}, false)
			if err != nil {
				t.Fatal(err)
			}
			u, err := g.check("https://push.example.net/x")
			if err != nil {
				t.Fatal(err)
			}
			d := g.dialer()
			var addr atomic.Value
			d.Resolver = answering(t, &addr)
			guarded := d.Control
			d.Control = func(network, address string, rc syscall.RawConn) error {
				if err := guarded(network, address, rc); err != nil {
					return err
				}
				return errWouldConnect
			}
			for i, want := range c.want {
				addr.Store(netip.MustParseAddr(c.answers[i]))
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				conn, err := d.DialContext(ctx, "tcp", strings.TrimSuffix(u.Host, ":443")+":443")
				cancel()
				if conn != nil {
					conn.Close()
				}
				if !errors.Is(err, want) {
					t.Errorf("dial %d = %v, want %v", i+1, err, want)
				}
			}
		})
	}
}
