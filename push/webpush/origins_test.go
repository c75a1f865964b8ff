package webpush

import (
	"net/http"
	"strconv"
	"testing"
)

func TestOrigins_AreBoundedAndApart(t *testing.T) {
	made := 0
	o := newOrigins(func() *http.Transport { made++; return new(http.Transport) })
	first := o.host("a")
	if o.host("a") != first || o.host("b") == first {
		t.Error("an origin has not one Redialer of its own")
	}
	for i := range 2 * maxOrigins {
		o.host(strconv.Itoa(i))
	}
	if len(o.hosts) != maxOrigins {
		t.Errorf("%d origins kept, want %d", len(o.hosts), maxOrigins)
	}
	if made != 0 {
		t.Errorf("%d transports made without a request", made)
	}
	o.CloseIdleConnections()
}
