package bearer

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"reveille/internal/auth"
	"reveille/internal/httpclient"
)

// Bounds of what the server of the keys may send.
const (
	// maxBody is enough for some hundred keys.
	maxBody = 256 << 10
	// maxKeys bounds the keys of one set.
	maxKeys = 256
	// minRSABits is the least that RFC 7518 §3.3 allows.
	minRSABits = 2048
)

// errNoKeys: the keys are not known, so nothing can be said about any token.
var errNoKeys = errors.New("bearer: the keys of the authorization server are not known")

// keys are the keys of an authorization server. One caller fetches them at a
// time, the others go on with those known or wait for it. It is safe for
// concurrent use.
type keys struct {
	url                  string
	refresh, keep, pause time.Duration
	client               *httpclient.Client
	log                  *slog.Logger

	mu      sync.Mutex // guards what follows
	set     []jose.JSONWebKey
	fetched time.Time     // when set was; zero: never
	tried   time.Time     // when it was tried last, with or without success
	err     error         // of the last try
	flight  chan struct{} // closed when the fetch under way ends; nil: none is
}

func newKeys(o *Options) (*keys, error) {
	client, err := httpclient.New(httpclient.Options{
		URL: o.JWKSURL, Timeout: o.Timeout, MaxConns: 1, MaxAnswer: maxBody,
	})
	if err != nil {
		return nil, fmt.Errorf("bearer: %w", err)
	}
	return &keys{url: o.JWKSURL, refresh: o.Refresh, keep: o.Keep, pause: o.Pause, client: client, log: o.Logger}, nil
}

// find returns the key that a token names. The error is auth.ErrToken if the
// authorization server has no such key, or another if that cannot be said.
func (k *keys) find(ctx context.Context, kid, algorithm string, now time.Time) (*jose.JSONWebKey, error) {
	for {
		k.mu.Lock()
		key := k.lookup(kid, algorithm, now)
		due := now.Sub(k.tried) >= k.pause && (key == nil || now.Sub(k.fetched) >= k.refresh)
		switch {
		case key != nil && (!due || k.flight != nil):
			k.mu.Unlock()
			return key, nil
		case k.flight != nil:
			flight := k.flight
			k.mu.Unlock()
			select {
			case <-flight:
			case <-ctx.Done():
				return nil, errors.Join(errNoKeys, ctx.Err())
			}
		case due:
			k.flight, k.tried = make(chan struct{}), now
			k.mu.Unlock()
			set, err := k.fetch(ctx)
			k.land(set, err, now)
		default:
			err := k.verdict(now)
			k.mu.Unlock()
			return nil, err
		}
	}
}

// lookup returns a key that is known, nil if it is not. The caller holds mu.
func (k *keys) lookup(kid, algorithm string, now time.Time) *jose.JSONWebKey {
	if !k.known(now) {
		return nil
	}
	for i := range k.set {
		key := &k.set[i]
		// RFC 7515 §4.1.4: a token need not name its key; if there is only one,
		// it is that.
		named := key.KeyID == kid || kid == "" && len(k.set) == 1
		if named && (key.Algorithm == "" || key.Algorithm == algorithm) {
			return key
		}
	}
	return nil
}

// known reports whether there are keys that are good. The caller holds mu.
func (k *keys) known(now time.Time) bool { return !k.fetched.IsZero() && now.Sub(k.fetched) < k.keep }

// verdict says why there is no key. The caller holds mu.
func (k *keys) verdict(now time.Time) error {
	if k.err != nil || !k.known(now) {
		// The key may be new, and nobody there to tell.
		return errNoKeys
	}
	return fmt.Errorf("%w: no key of the authorization server signed it", auth.ErrToken)
}

// land keeps what a fetch brought, and lets those go on who wait for it.
func (k *keys) land(set []jose.JSONWebKey, err error, now time.Time) {
	if err != nil {
		k.log.Warn("fetch the keys of the authorization server", "url", k.url, "err", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err = err; err == nil {
		k.set, k.fetched = set, now
	}
	close(k.flight)
	k.flight = nil
}

// fetch gets the keys.
func (k *keys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	reply, err := k.client.Get(ctx, http.Header{"Accept": {"application/jwk-set+json, application/json"}})
	if err != nil {
		return nil, err
	}
	if reply.Status != http.StatusOK {
		return nil, fmt.Errorf("status %d", reply.Status)
	}
	return parse(reply.Body)
}

// parse reads a JWK Set. Keys that are not for signatures, that are weak, or
// that are secret, are passed over.
func parse(body []byte) ([]jose.JSONWebKey, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read the JWK Set: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, want %d or fewer", len(doc.Keys), maxKeys)
	}
	var set []jose.JSONWebKey
	for _, raw := range doc.Keys {
		var key jose.JSONWebKey
		// RFC 7517 §5: what is not understood is passed over.
		if err := key.UnmarshalJSON(raw); err == nil && usable(&key) {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("the JWK Set holds no public key for signatures")
	}
	return set, nil
}

func usable(key *jose.JSONWebKey) bool {
	if !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
		return false
	}
	r, ok := key.Key.(*rsa.PublicKey)
	return !ok || r.N.BitLen() >= minRSABits
}
