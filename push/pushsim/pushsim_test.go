package pushsim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/net/http2"
)

// sim is a server and a client that speaks HTTP/2 to it, written without the
// libraries that the Senders use.
type sim struct {
	*Server
	client *http.Client
}

func start(t *testing.T, o Options) sim {
	t.Helper()
	if o.Credentials == nil {
		o.Credentials = credentials(t)
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	tr := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: s.RootCAs()}}
	t.Cleanup(tr.CloseIdleConnections)
	return sim{s, &http.Client{Transport: tr}}
}

// newCredentials makes one set for all tests: RSA keys take a while.
var newCredentials = sync.OnceValues(NewCredentials)

func credentials(t *testing.T) *Credentials {
	t.Helper()
	c, err := newCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s sim) do(t *testing.T, method, url, body string, h map[string]string) (status int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		if v != "" {
			req.Header.Set(k, v)
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// with returns a copy of m with changes; "" removes.
func with(m map[string]string, kv ...string) map[string]string {
	out := make(map[string]string)
	maps.Copy(out, m)
	for i := 0; i < len(kv); i += 2 {
		out[kv[i]] = kv[i+1]
	}
	return out
}

func (s sim) appleToken(t *testing.T, team, kid string, iat time.Time) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": team, "iat": iat.Unix()})
	tok.Header["kid"] = kid
	b, err := tok.SignedString(s.creds.apple)
	if err != nil {
		t.Fatal(err)
	}
	return "bearer " + b
}

const device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

func TestAPNs_Checks(t *testing.T) {
	s := start(t, Options{})
	now := time.Now()
	good := map[string]string{
		"authorization": s.appleToken(t, TeamID, KeyID, now), "apns-topic": BundleID + ".voip", "apns-push-type": "voip",
		"apns-priority": "10", "apns-expiration": strconv.FormatInt(now.Add(30*time.Second).Unix(), 10), "apns-collapse-id": "x",
	}
	background := with(good, "apns-topic", BundleID, "apns-push-type", "background", "apns-priority", "5")
	alert := with(good, "apns-topic", BundleID, "apns-push-type", "alert")
	const silent, loud = `{"aps":{"content-available":1}}`, `{"aps":{"alert":{"title":"x"}}}`
	for _, c := range []struct {
		name   string
		header map[string]string
		token  string
		body   string
		status int
		reason string
	}{
		{name: "voip", header: good, body: `{"aps":{}}`, status: 200},
		{name: "background", header: background, body: silent, status: 200},
		{name: "alert", header: alert, body: loud, status: 200},
		{name: "try once", header: with(good, "apns-expiration", "1"), body: `{}`, status: 200},
		{name: "no token", header: with(good, "authorization", ""), body: `{}`, status: 403, reason: "MissingProviderToken"},
		{name: "basic", header: with(good, "authorization", "Basic x"), body: `{}`, status: 403, reason: "InvalidProviderToken"},
		{name: "garbage token", header: with(good, "authorization", "bearer x.y.z"), body: `{}`, status: 403, reason: "InvalidProviderToken"},
		{name: "other team", header: with(good, "authorization", s.appleToken(t, "T", KeyID, now)), body: `{}`, status: 403, reason: "InvalidProviderToken"},
		{name: "other key ID", header: with(good, "authorization", s.appleToken(t, TeamID, "K", now)), body: `{}`, status: 403, reason: "InvalidProviderToken"},
		{name: "old token", header: with(good, "authorization", s.appleToken(t, TeamID, KeyID, now.Add(-61*time.Minute))), body: `{}`, status: 403, reason: "ExpiredProviderToken"},
		{name: "bad device", header: good, token: "xyz", body: `{}`, status: 400, reason: "BadDeviceToken"},
		{name: "no topic", header: with(good, "apns-topic", ""), body: `{}`, status: 400, reason: "MissingTopic"},
		{name: "voip with the other topic", header: with(good, "apns-topic", BundleID), body: `{}`, status: 400, reason: "DeviceTokenNotForTopic"},
		{name: "background with the voip topic", header: with(background, "apns-topic", BundleID+".voip"), body: silent, status: 400, reason: "DeviceTokenNotForTopic"},
		{name: "no type", header: with(good, "apns-push-type", "", "apns-topic", BundleID), body: `{}`, status: 400, reason: "InvalidPushType"},
		{name: "background, high priority", header: with(background, "apns-priority", "10"), body: silent, status: 400, reason: "BadPriority"},
		{name: "background with alert", header: background, body: loud, status: 400, reason: "InvalidPushType"},
		{name: "alert without alert", header: alert, body: silent, status: 400, reason: "InvalidPushType"},
		{name: "priority", header: with(good, "apns-priority", "7"), body: `{}`, status: 400, reason: "BadPriority"},
		{name: "no expiration", header: with(good, "apns-expiration", ""), body: `{}`, status: 400, reason: "BadExpirationDate"},
		{name: "past expiration", header: with(good, "apns-expiration", "1000"), body: `{}`, status: 400, reason: "BadExpirationDate"},
		{name: "collapse ID", header: with(good, "apns-collapse-id", strings.Repeat("x", 65)), body: `{}`, status: 400, reason: "BadCollapseId"},
		{name: "no payload", header: good, status: 400, reason: "PayloadEmpty"},
		{name: "voip payload", header: good, body: `{"x":"` + strings.Repeat("x", 5100) + `"}`, status: 200},
		{name: "voip payload too large", header: good, body: `{"x":"` + strings.Repeat("x", 5120) + `"}`, status: 413, reason: "PayloadTooLarge"},
		{name: "payload too large", header: background, body: `{"x":"` + strings.Repeat("x", 4096) + `"}`, status: 413, reason: "PayloadTooLarge"},
		{name: "endless", header: good, body: strings.Repeat(" ", 2*maxRequest), status: 413, reason: "PayloadTooLarge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Forget()
			if c.token == "" {
				c.token = device
			}
			status, h, body := s.do(t, "POST", s.URL()+"/3/device/"+c.token, c.body, c.header)
			var answer struct{ Reason string }
			if c.reason != "" && json.Unmarshal([]byte(body), &answer) != nil {
				t.Errorf("body = %q, want JSON", body)
			}
			if status != c.status || answer.Reason != c.reason || h.Get("apns-id") == "" {
				t.Errorf("answer = %d %q, want %d %q and an apns-id", status, answer.Reason, c.status, c.reason)
			}
			if p := s.Pushes(); len(p) != 1 || p[0].Status != status || p[0].Reason != c.reason || p[0].Token != c.token {
				t.Errorf("log = %+v, want the push and its answer", p)
			}
		})
	}
}

func TestAPNs_NeedsHTTP2(t *testing.T) {
	s := start(t, Options{})
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.RootCAs()}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post(s.URL()+"/3/device/"+device, "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 1 || resp.StatusCode != 400 {
		t.Errorf("answer = %d over HTTP/%d, want 400 over HTTP/1", resp.StatusCode, resp.ProtoMajor)
	}
}

// bearer fetches an access token as RFC 7523 says.
func (s sim) bearer(t *testing.T, change func(jwt.MapClaims)) (status int, token string) {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": clientEmail, "aud": s.TokenURL(), "scope": fcmScope,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	if change != nil {
		change(claims)
	}
	a, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(s.creds.fcm)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {a}}
	status, _, body := s.do(t, "POST", s.TokenURL(), form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return status, answer.AccessToken
}

func TestFCM_TokenServerChecks(t *testing.T) {
	s := start(t, Options{})
	for name, change := range map[string]func(jwt.MapClaims){
		"audience": func(c jwt.MapClaims) { c["aud"] = "https://example.com/token" },
		"issuer":   func(c jwt.MapClaims) { c["iss"] = "x" },
		"expired":  func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() },
		"endless":  func(c jwt.MapClaims) { delete(c, "exp") },
		"scope":    func(c jwt.MapClaims) { c["scope"] = "https://www.googleapis.com/auth/datastore" },
	} {
		if status, tok := s.bearer(t, change); status != 400 || tok != "" {
			t.Errorf("%s: %d with token %q, want 400", name, status, tok)
		}
	}
	if status, tok := s.bearer(t, nil); status != 200 || tok == "" {
		t.Errorf("good: %d, want 200 with a token", status)
	}
	if status, _, _ := s.do(t, "POST", s.TokenURL(), "grant_type=password", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}); status != 400 {
		t.Errorf("other grant: %d, want 400", status)
	}
}

func TestFCM_Checks(t *testing.T) {
	s := start(t, Options{})
	_, token := s.bearer(t, nil)
	good := `{"message":{"token":"t1","data":{"kind":"call","push_id":"p"},"android":{"priority":"high","ttl":"25s"}}}`
	for _, c := range []struct {
		name, path, token, body string
		status                  int
		code                    string
	}{
		{name: "good", body: good, status: 200},
		{name: "now or never", body: strings.Replace(good, "25s", "0s", 1), status: 200},
		{name: "no bearer", token: "x", body: good, status: 401, code: "UNAUTHENTICATED"},
		{name: "other project", path: "/v1/projects/other/messages:send", body: good, status: 403, code: "PERMISSION_DENIED"},
		{name: "no token", body: strings.Replace(good, `"t1"`, `""`, 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "no ttl", body: strings.Replace(good, `"25s"`, `""`, 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "ttl without unit", body: strings.Replace(good, `"25s"`, `"25"`, 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "long ttl", body: strings.Replace(good, "25s", "2419201s", 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "priority", body: strings.Replace(good, "high", "urgent", 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "number in data", body: strings.Replace(good, `"call"`, `1`, 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "reserved key", body: strings.Replace(good, `"kind"`, `"from"`, 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "too large", body: strings.Replace(good, "call", strings.Repeat("x", 5000), 1), status: 400, code: "INVALID_ARGUMENT"},
		{name: "no JSON", body: "x", status: 400, code: "INVALID_ARGUMENT"},
		{name: "other method", path: "/v1/projects/" + ProjectID + "/messages:list", body: good, status: 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.path == "" {
				c.path = "/v1/projects/" + ProjectID + "/messages:send"
			}
			if c.token == "" {
				c.token = token
			}
			status, _, body := s.do(t, "POST", s.URL()+c.path, c.body, map[string]string{"Authorization": "Bearer " + c.token})
			var answer struct {
				Name  string
				Error struct{ Status string }
			}
			_ = json.Unmarshal([]byte(body), &answer) // a 404 has none
			if status != c.status || answer.Error.Status != c.code || (answer.Name != "") != (status == 200) {
				t.Errorf("answer = %d %s, want %d %s", status, body, c.status, c.code)
			}
		})
	}
}

func (s sim) vapid(t *testing.T, key string, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{"aud": s.URL(), "exp": time.Now().Add(12 * time.Hour).Unix(), "sub": "mailto:push@example.com"}
	if change != nil {
		change(claims)
	}
	b, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(s.creds.vapid)
	if err != nil {
		t.Fatal(err)
	}
	return "vapid t=" + b + ", k=" + key
}

func TestWebPush_Checks_RFC8030_RFC8292(t *testing.T) {
	s := start(t, Options{})
	key := s.creds.VAPIDPublic()
	good := map[string]string{"Authorization": s.vapid(t, key, nil), "TTL": "30", "Urgency": "high", "Topic": "abc-_"}
	auth := func(change func(jwt.MapClaims)) map[string]string {
		return with(good, "Authorization", s.vapid(t, key, change))
	}
	for _, c := range []struct {
		name   string
		header map[string]string
		body   string
		status int
	}{
		{name: "good", header: good, status: 201},
		{name: "no urgency, no topic", header: with(good, "Urgency", "", "Topic", ""), status: 201},
		{name: "https subject", header: auth(func(c jwt.MapClaims) { c["sub"] = "https://example.com" }), status: 201},
		{name: "encrypted", header: with(good, "Content-Encoding", "aes128gcm"), body: "x", status: 201},
		{name: "not encrypted", header: good, body: "x", status: 400},
		{name: "too large", header: with(good, "Content-Encoding", "aes128gcm"), body: strings.Repeat("x", 4097), status: 413},
		{name: "no TTL", header: with(good, "TTL", ""), status: 400},
		{name: "TTL", header: with(good, "TTL", "-1"), status: 400},
		{name: "urgency", header: with(good, "Urgency", "urgent"), status: 400},
		{name: "topic too long", header: with(good, "Topic", strings.Repeat("x", 33)), status: 400},
		{name: "topic alphabet", header: with(good, "Topic", "a/b"), status: 400},
		{name: "no VAPID", header: with(good, "Authorization", ""), status: 401},
		{name: "other scheme", header: with(good, "Authorization", "WebPush x"), status: 403},
		{name: "other key", header: with(good, "Authorization", s.vapid(t, "x", nil)), status: 403},
		{name: "audience", header: auth(func(c jwt.MapClaims) { c["aud"] = "https://push.example.net" }), status: 403},
		{name: "expired", header: auth(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), status: 403},
		{name: "too long", header: auth(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(25 * time.Hour).Unix() }), status: 403},
		{name: "endless", header: auth(func(c jwt.MapClaims) { delete(c, "exp") }), status: 403},
		{name: "no subject", header: auth(func(c jwt.MapClaims) { delete(c, "sub") }), status: 403},
		{name: "mailto twice", header: auth(func(c jwt.MapClaims) { c["sub"] = "mailto:mailto:a@example.com" }), status: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, h, body := s.do(t, "POST", s.SubscriptionURL("a"), c.body, c.header)
			if status != c.status || (h.Get("Location") != "") != (status == 201) {
				t.Errorf("answer = %d %s, want %d", status, body, c.status)
			}
		})
	}
}

// The example of the RFC, whose token ended in 2016.
func TestReadVAPID_RFC8292_2_4(t *testing.T) {
	const header = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
	const audience = "https://push.example.net"
	end := time.Unix(1453523768, 0)
	token, k, ok := splitVAPID(header)
	if !ok || len(k) != 87 {
		t.Fatalf("splitVAPID = %q, %t", k, ok)
	}
	point, err := base64.RawURLEncoding.DecodeString(k)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := readVAPID(token, key, audience, end.Add(-time.Hour))
	if err != nil || claims.Subject != "mailto:push@example.com" || !claims.ExpiresAt.Time.Equal(end) {
		t.Errorf("readVAPID = %+v, %v; want the claims of the RFC", claims, err)
	}
	if _, err := readVAPID(token, key, audience, end.Add(time.Second)); err == nil {
		t.Error("an ended token was taken")
	}
	if _, err := readVAPID(token, key, audience+":444", end.Add(-time.Hour)); err == nil {
		t.Error("a token for another origin was taken")
	}
	if _, err := readVAPID(token, &credentials(t).vapid.PublicKey, audience, end.Add(-time.Hour)); err == nil {
		t.Error("a token of another key was taken")
	}
}

func TestFault_Times(t *testing.T) {
	s := start(t, Options{})
	h := map[string]string{"Authorization": s.vapid(t, s.creds.VAPIDPublic(), nil), "TTL": "0"}
	s.SetFault(s.SubscriptionURL("a"), Fault{Kind: Unavailable, Times: 2, RetryAfter: 3 * time.Second})
	s.SetFault("", Fault{Kind: Gone})
	var got []int
	for _, id := range []string{"a", "b", "a", "a"} {
		status, header, _ := s.do(t, "POST", s.SubscriptionURL(id), "", h)
		got = append(got, status)
		if status == 503 && header.Get("Retry-After") != "3" {
			t.Errorf("Retry-After = %q, want 3", header.Get("Retry-After"))
		}
	}
	s.ClearFaults()
	status, _, _ := s.do(t, "POST", s.SubscriptionURL("a"), "", h)
	if got = append(got, status); !equal(got, 503, 410, 503, 410, 201) {
		t.Errorf("answers = %v, want 503 410 503 410 201", got)
	}
}

func equal(got []int, want ...int) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i] != want[i] {
			return false
		}
	}
	return true
}

func TestFault_BlackHoleEndsWithTheServer(t *testing.T) {
	s := start(t, Options{})
	s.SetFault("", Fault{Kind: BlackHole})
	sent := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	req, err := http.NewRequestWithContext(ctx, "POST", s.SubscriptionURL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", s.vapid(t, s.creds.VAPIDPublic(), nil))
	req.Header.Set("TTL", "0")
	ended := make(chan error, 1)
	go func() {
		resp, err := s.client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		ended <- err
	}()
	<-sent
	s.Close()
	if err := <-ended; err == nil {
		t.Error("the black hole answered")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func TestFault_ResetAndGoAwayNeedANewConnection(t *testing.T) {
	s := start(t, Options{})
	h := map[string]string{"Authorization": s.vapid(t, s.creds.VAPIDPublic(), nil), "TTL": "0"}
	s.SetFault("", Fault{Kind: GoAway, Times: 1})
	if status, _, _ := s.do(t, "POST", s.SubscriptionURL("a"), "", h); status != 201 {
		t.Errorf("going away: %d, want 201", status)
	}
	s.SetFault("", Fault{Kind: Reset, Times: 1})
	req, _ := http.NewRequestWithContext(t.Context(), "POST", s.SubscriptionURL("a"), nil)
	req.Header.Set("Authorization", h["Authorization"])
	req.Header.Set("TTL", "0")
	if resp, err := s.client.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("reset: answer %d, want none", resp.StatusCode)
	}
	if status, _, _ := s.do(t, "POST", s.SubscriptionURL("a"), "", h); status != 201 {
		t.Errorf("afterwards: %d, want 201", status)
	}
	if n := s.Conns(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

func TestOnPush_OnlyWhatWasTakenAfterTheAnswer(t *testing.T) {
	var mu sync.Mutex
	var taken, received []Push
	hold := make(chan struct{})
	s := start(t, Options{
		MaxPushes: 2,
		OnReceive: func(p Push) { mu.Lock(); received = append(received, p); mu.Unlock() },
		OnPush: func(p Push) {
			<-hold // the answer must not wait for this
			mu.Lock()
			taken = append(taken, p)
			mu.Unlock()
		},
	})
	h := map[string]string{"Authorization": s.vapid(t, s.creds.VAPIDPublic(), nil), "TTL": "0"}
	for range 3 {
		s.do(t, "POST", s.SubscriptionURL("a"), "", map[string]string{"TTL": "0"})
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.SubscriptionURL("b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		req.Header.Set(k, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 201 {
		t.Errorf("answer = %d, want 201", resp.StatusCode)
	}
	close(hold)
	if _, err := io.Copy(io.Discard, resp.Body); err != nil { // ends when the handler does
		t.Fatal(err)
	}
	resp.Body.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(taken) != 1 || taken[0].Token != s.SubscriptionURL("b") || len(received) != 4 {
		t.Errorf("%d taken, %d received; want 1, 4", len(taken), len(received))
	}
	if n := len(s.Pushes()); n != 2 {
		t.Errorf("log has %d pushes, want its bound 2", n)
	}
}

func TestCredentials_EncodeLoad(t *testing.T) {
	c := credentials(t)
	again, err := LoadCredentials(c.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Encode(), again.Encode()) || again.VAPIDPublic() != c.VAPIDPublic() || !bytes.Equal(c.KeyP8(), again.KeyP8()) {
		t.Error("credentials change when stored")
	}
	if bytes.Equal(c.KeyP8(), c.VAPIDKeyPEM()) {
		t.Error("APNs and VAPID share a key")
	}
	for name, b := range map[string][]byte{
		"empty": nil, "CA alone": c.CAPEM(), "one key": c.KeyP8(),
		"broken": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
	} {
		if _, err := LoadCredentials(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFaultKind_String(t *testing.T) {
	for k := Accept; k <= Huge; k++ {
		if s := k.String(); s == "" || s == "unknown" {
			t.Errorf("fault %d has no name", k)
		}
	}
	if FaultKind(99).String() != "unknown" {
		t.Error("an unknown fault has a name")
	}
}
