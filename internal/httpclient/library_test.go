package httpclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// A library gets whole answers, none that is too large, and goes where it was told to.
func TestForLibrary(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/{size}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "reveille" {
			t.Errorf("User-Agent: %s", r.Header.Get("User-Agent"))
		}
		io.WriteString(w, strings.Repeat("x", map[string]int{"small": 999, "full": 1000, "large": 1001, "huge": 1 << 20}[r.PathValue("size")]))
	})
	mux.Handle("/elsewhere", http.RedirectHandler("/small", http.StatusTemporaryRedirect))
	server := httptest.NewServer(mux)
	defer server.Close()
	c := ForLibrary(Options{MaxAnswer: 1000})
	defer c.CloseIdleConnections()
	for path, large := range map[string]bool{"small": false, "full": false, "large": true, "huge": true} {
		resp, err := c.Get(server.URL + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if errors.Is(err, ErrTooLarge) != large || !large && err != nil || len(body) > 1000 {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	resp, err := c.Get(server.URL + "/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("a redirect was followed: %d", resp.StatusCode)
	}
	if c.Timeout != DefaultTimeout || ForLibrary(Options{Timeout: time.Second}).Timeout != time.Second {
		t.Error("the time is not bounded")
	}
}

// However a body is read, what may come comes, and no more.
func TestBoundedBody(t *testing.T) {
	for _, most := range []int64{0, 1, 7, 8, 9} {
		got, err := io.ReadAll(iotest.OneByteReader(&boundedBody{io.NopCloser(strings.NewReader("12345678")), most}))
		if want := min(most, 8); int64(len(got)) != want || errors.Is(err, ErrTooLarge) != (most < 8) {
			t.Errorf("at most %d: %q, %v", most, got, err)
		}
	}
}
