package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBans_ListAndLift(t *testing.T) {
	socket := socketPath(t)
	list := []Ban{{Source: "2001:db8:0:1::/64", Reason: "scanner", DatagramsOnly: true, Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	var lifted []netip.Addr
	s := control(t, Options{Addr: "127.0.0.1:0", Socket: socket, Calls: Calls{Bans: &Bans{
		List: func() []Ban { return list },
		Lift: func(a netip.Addr) bool { lifted = append(lifted, a); return a.Is6() },
	}}})
	do := func(c *http.Client, method, to string) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, to, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body
	}
	c := over(socket)
	status, body := do(c, http.MethodGet, "http://localhost/v1/bans")
	var got BanList
	if err := json.Unmarshal(body, &got); err != nil || status != http.StatusOK {
		t.Fatalf("GET /bans = %d %s, %v", status, body, err)
	}
	if d := cmp.Diff(BanList{list}, got); d != "" {
		t.Errorf("list (-want +got):\n%s", d)
	}
	for _, tt := range []struct {
		source string
		status int
	}{
		{"2001:db8:0:1::/64", http.StatusNoContent},
		{"2001:db8:0:1::7", http.StatusNoContent},
		{"192.0.2.7", http.StatusNotFound},
		{"alice", http.StatusUnprocessableEntity},
	} {
		if status, body := do(c, http.MethodDelete, "http://localhost/v1/bans?source="+url.QueryEscape(tt.source)); status != tt.status {
			t.Errorf("DELETE /bans/%s = %d %s, want %d", tt.source, status, body, tt.status)
		}
	}
	want := []netip.Addr{netip.MustParseAddr("2001:db8:0:1::"), netip.MustParseAddr("2001:db8:0:1::7"), netip.MustParseAddr("192.0.2.7")}
	if d := cmp.Diff(want, lifted, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("lifted (-want +got):\n%s", d)
	}
	list = nil
	if _, body := do(c, http.MethodGet, "http://localhost/v1/bans"); string(body) != "{\"bans\":[]}\n" {
		t.Errorf("an empty list = %q", body)
	}
	// Not for everyone who reaches a port.
	if status, _ := do(http.DefaultClient, http.MethodGet, "http://"+s.Addr().String()+"/v1/bans"); status != http.StatusUnauthorized {
		t.Errorf("GET /v1/bans on the address = %d, want 401", status)
	}
}
