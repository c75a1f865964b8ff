package httpclient

import (
	"io"
	"net/http"
)

// ForLibrary returns a client for a library that asks more than one URL of a program,
// with the bounds of o, of which URL and Bearer mean nothing here. A redirect is an
// answer as any other; reading a body beyond MaxAnswer fails with ErrTooLarge.
func ForLibrary(o Options) *http.Client {
	o.setDefaults()
	return &http.Client{Transport: &bounded{o.transport(), int64(o.MaxAnswer)}, CheckRedirect: stay, Timeout: o.Timeout}
}

// bounded bounds the bodies of answers.
type bounded struct {
	*http.Transport
	max int64
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", userAgent)
	resp, err := b.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, b.max}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64 // negative: it was too large
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than may come tells a body that is too large.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}
