package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"reveille/push"
	"reveille/push/internal/exchange"
)

const (
	// renewAhead is how long before its end an access token is renewed in the
	// background, so that no push waits for it.
	renewAhead = 5 * time.Minute
	// fetchTimeout bounds one request to the token server.
	fetchTimeout = 5 * time.Second
	// dropEvery bounds how often a refused token makes us fetch another.
	dropEvery = time.Minute
)

// projectOf reads the project of a service account's key file.
func projectOf(serviceAccount []byte) (string, error) {
	var f struct {
		ProjectID string `json:"project_id"`
	}
	if err := json.Unmarshal(serviceAccount, &f); err != nil || f.ProjectID == "" {
		return "", errors.New("fcm: project ID missing")
	}
	return f.ProjectID, nil
}

// tokens keeps the access token. At most one fetch is under way.
type tokens struct {
	account *jwt.Config
	client  *http.Client

	// mu guards what follows.
	mu      sync.Mutex
	current *oauth2.Token
	fetch   *fetch // under way, or nil
	dropped time.Time
}

// fetch is one request to the token server; done is closed at its end.
type fetch struct {
	done  chan struct{}
	token *oauth2.Token
	err   error
}

// newTokens checks that the key of account can sign.
func newTokens(account *jwt.Config, base http.RoundTripper) (*tokens, error) {
	if err := checkKey(account.PrivateKey); err != nil {
		return nil, err
	}
	return &tokens{
		account: account,
		client:  &http.Client{Transport: &exchange.Transport{Base: base}, Timeout: fetchTimeout},
	}, nil
}

// get returns an access token that is still good. It waits for the token server
// only if there is none.
func (t *tokens) get(ctx context.Context) (string, error) {
	now := time.Now()
	t.mu.Lock()
	// A token near its end is used and renewed at the same time.
	good := t.current != nil && now.Before(t.current.Expiry)
	if (!good || now.After(t.current.Expiry.Add(-renewAhead))) && t.fetch == nil {
		t.fetch = &fetch{done: make(chan struct{})}
		// Ends with the request, after fetchTimeout at the latest.
		go t.run(context.WithoutCancel(ctx), t.fetch)
	}
	token, f := t.current, t.fetch
	t.mu.Unlock()
	if good {
		return token.AccessToken, nil
	}
	select {
	case <-f.done:
		if f.err != nil {
			return "", f.err
		}
		return f.token.AccessToken, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// run asks the token server. Its ctx does not end with the push that asked
// first: others may wait for the same token.
func (t *tokens) run(ctx context.Context, f *fetch) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, t.client)
	f.token, f.err = t.account.TokenSource(ctx).Token()
	if f.err != nil {
		f.err = newTokenError(f.err)
	} else if f.token.Expiry.IsZero() {
		f.token.Expiry = time.Now().Add(time.Hour)
	}
	t.mu.Lock()
	if f.err == nil {
		t.current = f.token
	}
	t.fetch = nil
	t.mu.Unlock()
	close(f.done)
}

// drop forgets the access token that FCM refused and reports whether it makes
// sense to try with another.
func (t *tokens) drop(authorization string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil || "Bearer "+t.current.AccessToken != authorization {
		return true // another push did it meanwhile
	}
	if !t.dropped.IsZero() && now.Sub(t.dropped) < dropEvery {
		return false
	}
	t.dropped, t.current = now, nil
	return true
}

// A tokenError says why there is no access token. It does not quote the answer
// of the token server.
type tokenError struct {
	class  push.Class
	status int
	reason string
}

func (e *tokenError) Error() string {
	return fmt.Sprintf("fetch access token: %s (status %d)", e.reason, e.status)
}

func newTokenError(err error) error {
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) || re.Response == nil {
		return fmt.Errorf("fetch access token: %w", exchange.Redact(err))
	}
	// RFC 6749 §5.2. The library reads it for other ways to get a token only.
	var said struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(re.Body, &said) // a page says nothing
	e := &tokenError{class: push.Credential, status: re.Response.StatusCode, reason: exchange.Reason(said.Error)}
	// The server's own trouble says nothing about the credential.
	if e.status >= 500 || e.status == http.StatusTooManyRequests {
		e.class = push.Unavailable
	}
	return e
}

// authorizer adds the access token to requests.
type authorizer struct {
	base   http.RoundTripper
	tokens *tokens
}

// RoundTrip implements http.RoundTripper.
func (a *authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.tokens.get(req.Context())
	if err != nil {
		// A RoundTripper closes the body whatever happens.
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	// The request was made for this exchange alone, by the SDK: its headers are
	// nobody else's, and a copy would cost as much as all else here.
	req.Header.Set("Authorization", "Bearer "+token)
	return a.base.RoundTrip(req)
}

// CloseIdleConnections closes those of base.
func (a *authorizer) CloseIdleConnections() {
	if c, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
