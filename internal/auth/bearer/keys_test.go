package bearer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"reveille/internal/auth"
)

// step verifies a token some time after noon.
type step struct {
	after   time.Duration
	token   string
	want    string
	fetches int // since the last change
}

func (s step) run(t *testing.T, v *Verifier, i *issuer, what string) {
	t.Helper()
	_, _, err := v.Verify(t.Context(), s.token, noon.Add(s.after))
	if got := outcome(err); got != s.want || i.fetched() != s.fetches {
		t.Fatalf("%s: Verify() = %s, %v after %d fetches, want %s after %d", what, got, err, i.fetched(), s.want, s.fetches)
	}
}

func TestKeys_Rotation(t *testing.T) {
	one, two, three := key(t, "one", jose.ES256), key(t, "two", jose.ES256), key(t, "three", jose.ES256)
	long := map[string]any{"exp": noon.Add(30 * 24 * time.Hour).Unix()}
	first, second, foreign := sign(t, one, claims(long)), sign(t, two, claims(long)), sign(t, three, claims(long))
	i := newIssuer(t, one)
	v := newVerifier(t, i, nil)
	step{0, first, "right", 1}.run(t, v, i, "the first token")
	step{time.Minute, first, "right", 1}.run(t, v, i, "the keys are known")

	i.set(nil, two)
	step{2 * time.Minute, second, "right", 1}.run(t, v, i, "a new key")
	step{2 * time.Minute, first, "wrong", 1}.run(t, v, i, "the old key is gone, and it is too early to ask again")
	step{2*time.Minute + DefaultPause, first, "wrong", 2}.run(t, v, i, "the old key is gone")
	step{2*time.Minute + DefaultPause, foreign, "wrong", 2}.run(t, v, i, "a key of nobody's")
	step{2*time.Minute + DefaultPause + DefaultRefresh - 1, second, "right", 2}.run(t, v, i, "the keys are young")
	step{2*time.Minute + DefaultPause + DefaultRefresh, second, "right", 3}.run(t, v, i, "the keys are old")
}

// A server of keys that is silent opens no door, and closes none before its
// keys are old.
func TestKeys_Silence(t *testing.T) {
	k, other := key(t, "k", jose.ES256), key(t, "other", jose.ES256)
	long := map[string]any{"exp": noon.Add(30 * 24 * time.Hour).Unix()}
	token, foreign := sign(t, k, claims(long)), sign(t, other, claims(long))
	down := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) }
	i := newIssuer(t, k)
	i.set(down)
	var log bytes.Buffer
	v := newVerifier(t, i, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	step{0, token, "unknown", 1}.run(t, v, i, "down from the start")
	step{time.Second, token, "unknown", 1}.run(t, v, i, "asked again soon")
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "502") {
		t.Errorf("log: %s", got)
	}

	i.set(nil, k)
	step{DefaultPause, token, "right", 1}.run(t, v, i, "up")
	i.set(down)
	at := DefaultPause + DefaultRefresh
	step{at, token, "right", 1}.run(t, v, i, "old keys while it is down")
	step{at + DefaultPause, foreign, "unknown", 2}.run(t, v, i, "a key that may be new")
	step{DefaultPause + DefaultKeep - 1, token, "right", 3}.run(t, v, i, "the last moment of the keys")
	step{DefaultPause + DefaultKeep + DefaultPause, token, "unknown", 4}.run(t, v, i, "the keys are too old")
	i.set(nil, k)
	step{DefaultPause + DefaultKeep + 2*DefaultPause, token, "right", 1}.run(t, v, i, "up again")
}

// Whatever is served, Verify ends soon and believes nothing of it.
func TestKeys_HostileServer(t *testing.T) {
	k := key(t, "k", jose.ES256)
	token := sign(t, k, claims(nil))
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small.N.Rsh(small.N, 1200)
	jwks := func(keys ...any) string {
		text, err := json.Marshal(map[string]any{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	private := k
	encrypts := k.Public()
	encrypts.Use = "enc"
	release := make(chan struct{})
	defer close(release)
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
	}
	for name, answer := range map[string]http.HandlerFunc{
		"silent": hang,
		"a body that never ends": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			hang(w, r)
		},
		"a huge body": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"keys":[`)
			for range maxBody {
				if _, err := io.WriteString(w, "        "); err != nil {
					return
				}
			}
		},
		"many keys":   text(`{"keys":[` + strings.Repeat("{},", maxKeys) + "{}]}"),
		"no JSON":     text("<html>"),
		"no keys":     text(`{}`),
		"a weak key":  text(jwks(jose.JSONWebKey{Key: &small.PublicKey, KeyID: "k"})),
		"a secret":    text(jwks(jose.JSONWebKey{Key: []byte("secret"), KeyID: "k"})),
		"private":     text(jwks(private)),
		"other uses":  text(jwks(encrypts)),
		"no key":      text(`{"keys":[{"kty":"new"},7,null]}`),
		"redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"not found":   http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, k)
			i.set(answer)
			v := newVerifier(t, i, func(o *Options) { o.Timeout = 200 * time.Millisecond })
			_, _, err := v.Verify(t.Context(), token, noon)
			if !errors.Is(err, errNoKeys) || errors.Is(err, auth.ErrToken) {
				t.Errorf("Verify() = %v, want %v", err, errNoKeys)
			}
			if i.fetched() != 1 {
				t.Errorf("%d fetches", i.fetched())
			}
		})
	}
}

// RFC 7517 §5: what is not understood is passed over.
func TestKeys_UnknownAmongOthers_RFC7517_5(t *testing.T) {
	k := key(t, "k", jose.ES256)
	public, err := k.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	i := newIssuer(t, k)
	i.set(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"new","x":1},{"kty":"EC","crv":"P-256"},%s],"other":true}`, public)
	})
	if _, _, err := newVerifier(t, i, nil).Verify(t.Context(), sign(t, k, claims(nil)), noon); err != nil {
		t.Errorf("Verify() = %v", err)
	}
}

// RFC 7515 §4.1.4: kid is optional.
func TestKeys_WithoutKeyID_RFC7515_4_1_4(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nameless := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256)}
	named := nameless
	named.KeyID = "k"
	token := sign(t, nameless, claims(nil))
	alone := newIssuer(t, named)
	if _, _, err := newVerifier(t, alone, nil).Verify(t.Context(), token, noon); err != nil {
		t.Errorf("the only key: %v", err)
	}
	among := newIssuer(t, named, key(t, "other", jose.ES256))
	if _, _, err := newVerifier(t, among, nil).Verify(t.Context(), token, noon); outcome(err) != "wrong" {
		t.Errorf("one of two keys: %v", err)
	}
}

// Many tokens at once cost one fetch.
func TestKeys_OneFetchForAll(t *testing.T) {
	k := key(t, "k", jose.ES256)
	token := sign(t, k, claims(nil))
	i := newIssuer(t, k)
	v := newVerifier(t, i, nil)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, _, err := v.Verify(t.Context(), token, noon); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if i.fetched() != 1 {
		t.Errorf("%d fetches, want 1", i.fetched())
	}
}

// Who waits for another's fetch waits no longer than it may.
func TestKeys_WaitEnds(t *testing.T) {
	k := key(t, "k", jose.ES256)
	token := sign(t, k, claims(nil))
	i := newIssuer(t, k)
	asked, release := make(chan struct{}), make(chan struct{})
	i.set(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		http.Error(w, "", http.StatusTeapot)
	})
	v := newVerifier(t, i, nil)
	var fetching sync.WaitGroup
	fetching.Go(func() {
		if _, _, err := v.Verify(t.Context(), token, noon); !errors.Is(err, errNoKeys) {
			t.Errorf("Verify() = %v", err)
		}
	})
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := v.Verify(ctx, token, noon); !errors.Is(err, context.Canceled) || errors.Is(err, auth.ErrToken) {
		t.Errorf("Verify() = %v", err)
	}
	close(release)
	fetching.Wait()
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			k := key(b, "k", alg)
			v := newVerifier(b, newIssuer(b, k), nil)
			token := sign(b, k, claims(nil))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := v.Verify(b.Context(), token, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
