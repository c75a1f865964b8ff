package webpush

import (
	"net/http"
	"strings"
	"testing"
)

// What the guard allows leads to an allowed host, as net/http reads it.
func FuzzGuard(f *testing.F) {
	g, err := newGuard([]string{"push.example.net", "*.notify.windows.com"}, false)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{
		"https://push.example.net/abc", "https://a.notify.windows.com:443/w/?token=x", "https://push.example.net@evil/",
		"https://evil\\push.example.net/", "https://push.example.net:443@evil/", "https://[::1%25push.example.net]/", "https://PUSH.example.net",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := g.check(endpoint)
		if err != nil {
			return
		}
		req, err := http.NewRequest("POST", u.String(), nil)
		if err != nil {
			return // Send says EndpointNotAllowed
		}
		host := req.URL.Hostname()
		if host != "push.example.net" && !strings.HasSuffix(host, ".notify.windows.com") {
			t.Errorf("%q leads to %q", endpoint, host)
		}
		if req.URL.Scheme != "https" || (req.URL.Port() != "" && req.URL.Port() != "443") || req.URL.User != nil {
			t.Errorf("%q leads to %q", endpoint, req.URL)
		}
		if origin(u) != "https://"+host {
			t.Errorf("origin of %q = %q, want https://%s", endpoint, origin(u), host)
		}
	})
}
