package webpush

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

// TestDecrypt_Example_RFC8291_5 shows that these tests read what the RFC says.
func TestDecrypt_Example_RFC8291_5(t *testing.T) {
	b := pushtest.BrowserWith(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94", "BTBZMqHH6r4Tts7J_aSIgg")
	body, err := base64.RawURLEncoding.DecodeString("DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_" +
		"yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Decrypt(body)
	if err != nil || string(got) != "When I grow up, I want to be a watermelon" {
		t.Errorf("decrypt = %q, %v", got, err)
	}
	if err := CheckKeys(b.Keys()); err != nil {
		t.Errorf("CheckKeys = %v", err)
	}
}

func TestEncrypt_RFC8291_3(t *testing.T) {
	v, b := testVAPID(t), pushtest.NewBrowser(t)
	for _, c := range []struct{ length, size int }{{0, 512}, {1, 512}, {409, 512}, {410, 1024}, {1000, 2048}, {maxMessage, 4096}} {
		// There is room behind the message, which is not the library's.
		buffer := bytes.Repeat([]byte("m"), c.length+100)
		body, err := v.encrypt(buffer[:c.length], b.Keys())
		if err != nil {
			t.Fatal(err)
		}
		if len(body) != c.size {
			t.Errorf("%d bytes make a body of %d, want %d", c.length, len(body), c.size)
		}
		if got, err := b.Decrypt(body); err != nil || !bytes.Equal(got, buffer[:c.length]) {
			t.Errorf("%d bytes: decrypted %d, %v", c.length, len(got), err)
		}
		if strings.Trim(string(buffer), "m") != "" {
			t.Errorf("%d bytes: what lies behind the message was written to", c.length)
		}
		if _, err := pushtest.NewBrowser(t).Decrypt(body); err == nil {
			t.Error("another browser can read it")
		}
	}
}

func testVAPID(t testing.TB) *vapid {
	t.Helper()
	_, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVAPID("", private, "push@example.net")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheckKeys_RFC8291_3_1(t *testing.T) {
	good := pushtest.NewBrowser(t).Keys()
	for name, k := range map[string]push.SubscriptionKeys{
		"no point":    {P256DH: base64.RawURLEncoding.EncodeToString(make([]byte, 65)), Auth: good.Auth},
		"no base64":   {P256DH: "!", Auth: good.Auth},
		"short":       {P256DH: good.P256DH[:40], Auth: good.Auth},
		"no auth":     {P256DH: good.P256DH},
		"short auth":  {P256DH: good.P256DH, Auth: "AAAA"},
		"wrong order": {P256DH: good.Auth, Auth: good.P256DH},
	} {
		if err := CheckKeys(k); err == nil || strings.Contains(err.Error(), good.Auth) {
			t.Errorf("%s: CheckKeys = %v, want an error without the secret", name, err)
		}
	}
	// Some libraries pad.
	if err := CheckKeys(push.SubscriptionKeys{P256DH: good.P256DH + "=", Auth: good.Auth + "=="}); err != nil {
		t.Errorf("CheckKeys with padding = %v", err)
	}
}

// TestSend_EncryptedPayload: the browser reads what the template says; without
// keys, or with some that are no good, it is woken all the same.
func TestSend_EncryptedPayload_RFC8291(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	b := pushtest.NewBrowser(t)
	o := options(sim)
	o.Payload = true
	for _, c := range []struct {
		name, template string
		keys           push.SubscriptionKeys
		data           map[string]string
		want           string // "" for none
	}{
		{name: "usual", keys: b.Keys(), want: `{"kind":"call","push_id":"p1","expires_at":"1000"}`},
		{name: "template", template: `{"who": "{{.CallerName}}"}`, keys: b.Keys(), data: map[string]string{"caller_name": `"Bob"`}, want: `{"who":"\"Bob\""}`},
		{name: "too long", template: `{"who": "{{.CallerName}}"}`, keys: b.Keys(), data: map[string]string{"caller_name": strings.Repeat("x", 4000)}, want: `{"who":""}`},
		{name: "no keys"},
		{name: "bad keys", keys: push.SubscriptionKeys{P256DH: "x", Auth: "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim.Forget()
			o.Template = c.template
			r := request(sim.SubscriptionURL("a"))
			r.Keys, r.Data, r.Deadline = c.keys, c.data, time.Unix(1000, 0)
			if out := newSender(t, o).Send(t.Context(), r); out.Class != push.OK {
				t.Fatalf("outcome = %+v, want ok", out)
			}
			body := sim.Pushes()[0].Payload
			if c.want == "" {
				if body != "" {
					t.Errorf("there is a payload of %d bytes", len(body))
				}
				return
			}
			got, err := b.Decrypt([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			var have, want map[string]string
			if err := errors.Join(json.Unmarshal(got, &have), json.Unmarshal([]byte(c.want), &want)); err != nil {
				t.Fatalf("%s: %v", got, err)
			}
			if d := cmp.Diff(want, have); d != "" {
				t.Errorf("payload (-want +got):\n%s", d)
			}
		})
	}
	// Without the operator's word nothing is sent, whatever the phone gives.
	sim.Forget()
	r := request(sim.SubscriptionURL("a"))
	r.Keys = b.Keys()
	if out := newSender(t, options(sim)).Send(t.Context(), r); out.Class != push.OK || sim.Pushes()[0].Payload != "" {
		t.Errorf("outcome = %+v, payload of %d bytes; want ok, none", out, len(sim.Pushes()[0].Payload))
	}
}

// TestSend_TooLargeGoesWithoutPayload: to wake the phone is worth more.
func TestSend_TooLargeGoesWithoutPayload(t *testing.T) {
	srv := newService(t)
	srv.limit = 100
	o, public := srv.options(t, 0)
	o.Payload = true
	srv.bound["/a"] = public[0]
	r := request(srv.URL + "/a")
	r.Keys = pushtest.NewBrowser(t).Keys()
	if out := newSender(t, o).Send(t.Context(), r); out.Class != push.OK || out.Attempts != 2 {
		t.Errorf("outcome = %+v, want ok at the second attempt", out)
	}
	if len(srv.bodies) != 2 || len(srv.bodies[0]) != 512 || len(srv.bodies[1]) != 0 || srv.header.Get("Content-Encoding") != "" {
		t.Errorf("%d bodies, the last with %q; want one of 512 bytes and none", len(srv.bodies), srv.header.Get("Content-Encoding"))
	}
}

func TestNew_RefusesBadTemplate(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	o := options(sim)
	o.Payload = true
	for template, want := range map[string]string{
		"{{":                                     "template:1:",
		`{"a": "{{.Nope}}"}`:                     "template:1:9",
		`{{.Kind}}`:                              "makes no JSON",
		`"` + strings.Repeat("x", 4000) + `"`:    "more than the 3993",
		`{{if eq .Kind "cancel"}}{{end}}{"a":1}`: "",
	} {
		o.Template = template
		if _, err := New(o); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("New with %.40s = %v, want %q", template, err, want)
		}
	}
}

// Whatever is encrypted can be read by the browser, and by it alone.
func FuzzEncrypt(f *testing.F) {
	v, b := testVAPID(f), pushtest.NewBrowser(f)
	f.Add([]byte(""))
	f.Add([]byte("\x02\x00\x02"))
	f.Add(bytes.Repeat([]byte{0}, 409))
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > maxMessage {
			return
		}
		body, err := v.encrypt(message, b.Keys())
		if err != nil || len(body) > 4096 {
			t.Fatalf("encrypt = %d bytes, %v", len(body), err)
		}
		if got, err := b.Decrypt(body); err != nil || !bytes.Equal(got, message) {
			t.Errorf("decrypted %q, %v, want %q", got, err, message)
		}
	})
}
