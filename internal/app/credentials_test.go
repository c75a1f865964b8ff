package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"reveille/internal/tlscert/certtest"
	"reveille/push"
	"reveille/push/apns"
	"reveille/push/pushsim"
)

const deviceToken = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9"

// apnsApp is an app of YAML with a key or certificate, for the pretend service.
func (r *rig) apnsApp(credential string) string {
	return fmt.Sprintf(`{name: ios, apns: {%s, host: %q, ca_file: ca.pem}}`, credential, r.sim.URL())
}

const p8 = `key_file: key.p8, key_id: ` + pushsim.KeyID + `, team_id: ` + pushsim.TeamID

func apnsRequest() *push.Request {
	return &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "apns", Param: pushsim.TeamID + "." + pushsim.BundleID + ".voip"},
		Tokens: []push.Token{{PRID: deviceToken, Use: push.VoIP}}, Kind: push.Call, Method: "INVITE", CallID: "c", PushID: "p",
		Deadline: time.Now().Add(20 * time.Second),
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestCheck_Credentials: what a push service would refuse is told before it is
// asked, with the key, the file and how to mend it.
func TestCheck_Credentials(t *testing.T) {
	r := newRig(t)
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	der := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p256, p384 := ec(elliptic.P256()), ec(elliptic.P384())
	sec1 := pemOf("EC PRIVATE KEY", der(x509.MarshalECPrivateKey(p256)))
	good := pemOf("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(p256)))
	other := pemOf("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(p384)))
	rsaPEM := pemOf("PRIVATE KEY", der(x509.MarshalPKCS8PrivateKey(rsaKey)))
	cert, key := certtest.PEM(t, certtest.New(t).Issue("push"))
	_, foreign := certtest.PEM(t, certtest.New(t).Issue("push"))
	vapid := func(keys string) string {
		return `{name: web, webpush: {` + keys + `, subscriber: "mailto:ops@reveille.dev"}}`
	}
	for _, tt := range []struct {
		name, app string
		files     map[string][]byte
		says      []string // nil: nothing
	}{
		{"token key", r.apnsApp(p8), map[string][]byte{"key.p8": good}, nil},
		{"token key that is text", r.apnsApp(p8), map[string][]byte{"key.p8": []byte("hello")}, []string{"push.apps[ios].apns.key_file: ", "key.p8 holds no PEM block", "AuthKey_"}},
		{"token key of SEC 1", r.apnsApp(p8), map[string][]byte{"key.p8": sec1}, []string{"is no PKCS #8 key", "openssl pkcs8 -topk8"}},
		{"token key of RSA", r.apnsApp(p8), map[string][]byte{"key.p8": rsaPEM}, []string{"not of the curve P-256"}},
		{"token key of P-384", r.apnsApp(p8), map[string][]byte{"key.p8": other}, []string{"not of the curve P-256"}},
		{"token key that is a certificate", r.apnsApp(p8), map[string][]byte{"key.p8": cert}, []string{"is a certificate", "cert_file"}},
		{"token key with a passphrase", r.apnsApp(p8), map[string][]byte{"key.p8": pemOf("ENCRYPTED PRIVATE KEY", []byte{1})}, []string{"passphrase", "openssl pkey"}},
		{"token key that is damaged", r.apnsApp(p8), map[string][]byte{"key.p8": pemOf("PRIVATE KEY", []byte{1})}, []string{"no private key that can be read"}},
		{"certificate", r.apnsApp("cert_file: pair.pem"), map[string][]byte{"pair.pem": append(cert, key...)}, nil},
		{"certificate without key", r.apnsApp("cert_file: pair.pem"), map[string][]byte{"pair.pem": cert}, []string{"push.apps[ios].apns.cert_file: ", "holds no PEM private key"}},
		{"certificate with the key of another", r.apnsApp("cert_file: pair.pem"), map[string][]byte{"pair.pem": append(cert, foreign...)}, []string{"is not the key of the certificate"}},
		{"no PKCS #12", r.apnsApp("p12_file: a.p12"), map[string][]byte{"a.p12": cert}, []string{"push.apps[ios].apns.p12_file: ", "is no PKCS #12 file", "Keychain"}},
		{"service account", `{name: android, fcm: {service_account_file: sa.json}}`, map[string][]byte{"sa.json": r.sim.ServiceAccountJSON()}, nil},
		{"service account that is none", `{name: android, fcm: {service_account_file: sa.json}}`, map[string][]byte{"sa.json": good}, []string{"push.apps[android].fcm.service_account_file: ", "is no JSON", "Firebase console"}},
		{"service account of the app", `{name: android, fcm: {service_account_file: sa.json}}`, map[string][]byte{"sa.json": []byte(`{"project_info":{}}`)}, []string{"google-services.json of the app", "generate new private key"}},
		{"service account of a user", `{name: android, fcm: {service_account_file: sa.json}}`, map[string][]byte{"sa.json": []byte(`{"type":"authorized_user"}`)}, []string{`of type "authorized_user"`}},
		{"VAPID", vapid("vapid_key_file: v.pem"), map[string][]byte{"v.pem": good}, nil},
		{"VAPID of SEC 1", vapid("vapid_key_file: v.pem"), map[string][]byte{"v.pem": sec1}, nil},
		{"VAPID of P-384", vapid("vapid_key_file: v.pem"), map[string][]byte{"v.pem": other}, []string{"push.apps[web].webpush.vapid_key_file: ", "not of the curve P-256", "openssl genpkey"}},
		{"VAPID of RSA", vapid("vapid_key_file: v.pem"), map[string][]byte{"v.pem": rsaPEM}, []string{"not of the curve P-256"}},
		{"old VAPID that is text", vapid("vapid_key_file: v.pem, old_vapid_key_files: [v.pem, w.pem]"), map[string][]byte{"v.pem": good, "w.pem": []byte("x")}, []string{"webpush.old_vapid_key_files[1]: ", "holds no PEM block"}},
		{"old VAPID that is the current", vapid("vapid_key_file: v.pem, old_vapid_key_files: [v.pem]"), map[string][]byte{"v.pem": good}, []string{"push.apps[web].webpush: old VAPID key 1 is there twice"}},
		{"template", `{name: ios, apns: {` + p8 + `, template: "{\n{{.Nope}}"}}`, map[string][]byte{"key.p8": good}, []string{"push.apps[ios].apns: template:2:"}},
		{"template of data", `{name: android, fcm: {service_account_file: sa.json, template: '{"from": "x"}'}}`, map[string][]byte{"sa.json": r.sim.ServiceAccountJSON()}, []string{"push.apps[android].fcm: template: key", "reserved"}},
		{"template of a payload", vapid(`vapid_key_file: v.pem, payload: true, template: "x"`), map[string][]byte{"v.pem": good}, []string{"push.apps[web].webpush: template: makes no JSON"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, content := range tt.files {
				r.file(name, content)
			}
			err := Check(r.config(`push: {apps: [` + tt.app + `]}`))
			if tt.says == nil {
				if err != nil {
					t.Errorf("Check = %v", err)
				}
				return
			}
			for _, want := range tt.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Check = %v, want %q", err, want)
				}
			}
		})
	}
}

// TestAPNs_CertificateOfKeychain: what a Mac exports, in the old and the new way
// to encrypt it, is a credential.
func TestAPNs_CertificateOfKeychain(t *testing.T) {
	r := newRig(t)
	cert, err := r.sim.Credentials().APNsCertificate()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, encoder := range map[string]*pkcs12.Encoder{"old": pkcs12.LegacyDES, "RC2": pkcs12.LegacyRC2, "new": pkcs12.Modern2023} {
		t.Run(name, func(t *testing.T) {
			data, err := encoder.Encode(cert.PrivateKey, leaf, nil, "opensesame")
			if err != nil {
				t.Fatal(err)
			}
			r.file("apns.p12", data)
			r.file("apns.password", []byte("opensesame\n"))
			for _, password := range []string{`p12_password: opensesame`, `p12_password_file: apns.password`} {
				r.reload(`push: {apps: [` + r.apnsApp("p12_file: apns.p12, "+password) + `]}`)
				r.sim.Forget()
				if o := r.senders.list[0].app.Sender.Send(t.Context(), apnsRequest()); o.Class != push.OK {
					t.Errorf("outcome = %+v, want ok", o)
				}
				if got := r.metric("reveille_push_credential_expiry_timestamp_seconds", "ios"); got != float64(leaf.NotAfter.Unix()) {
					t.Errorf("expiry = %v, want %d", got, leaf.NotAfter.Unix())
				}
			}
			err = Check(r.config(`push: {apps: [` + r.apnsApp("p12_file: apns.p12, p12_password: wrong") + `]}`))
			if err == nil || !strings.Contains(err.Error(), "cannot be opened with p12_password") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("Check with another password = %v", err)
			}
		})
	}
	r.reload(`push: {apps: []}`)
	if got := r.metric("reveille_push_credential_expiry_timestamp_seconds"); got != 0 {
		t.Errorf("expiry of an app that is gone = %v", got)
	}
}

// TestReload_KeepsTheTokenOfAKey: APNs refuses a key whose token changes too
// often. Whatever else changes, it stays, and all apps of the key share it.
func TestReload_KeepsTheTokenOfAKey(t *testing.T) {
	r := newRig(t)
	r.file("key.p8", r.sim.Credentials().KeyP8())
	r.reload(`push: {apps: [` + r.apnsApp(p8) + `]}`)
	token := func(i int) *apns.Token { return r.senders.list[i].app.Sender.(*apns.Sender).Token() }
	first, sender := token(0), r.senders.list[0].app.Sender
	r.reload(`push: {apps: [` + r.apnsApp(p8+`, alerts: {call: "Ring ring"}`) + `, ` +
		strings.Replace(r.apnsApp(p8), "name: ios", `name: ios2, provider: apns.dev`, 1) + `]}`)
	if r.senders.list[0].app.Sender == sender {
		t.Error("the sender was kept although its alerts changed")
	}
	if token(0) != first || token(1) != first {
		t.Error("a token was made anew although the key is the same")
	}
	creds, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	r.file("key.p8", creds.KeyP8())
	r.reload(`push: {apps: [` + r.apnsApp(p8) + `]}`)
	if token(0) == first {
		t.Error("the token was kept although the key is another")
	}
}

// TestReload_InvalidCredentialKeepsTheOld, and says which file is at fault.
func TestReload_InvalidCredentialKeepsTheOld(t *testing.T) {
	r := newRig(t)
	before := r.senders.list[0].app.Sender
	r.file("fcm.json", []byte(`{"type": "authorized_user"}`))
	err := r.Reload(r.config())
	if err == nil || !strings.Contains(err.Error(), filepath.Join(r.dir, "fcm.json")) || !strings.Contains(err.Error(), "Firebase console") {
		t.Errorf("Reload = %v, want the file and how to mend it", err)
	}
	if r.senders.list[0].app.Sender != before {
		t.Error("the old credential is gone")
	}
}

// TestWarnings_Credentials: what may be meant, but makes a push service refuse
// every push.
func TestWarnings_Credentials(t *testing.T) {
	r := newRig(t)
	certificate := func(left time.Duration) []byte {
		tmpl := certtest.Template(t, "push")
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-365*24*time.Hour), time.Now().Add(left)
		c := certtest.New(t).IssueWith(tmpl)
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		data, err := pkcs12.Modern2023.Encode(c.PrivateKey, leaf, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	fcm := func(more string) string { return `{name: android, ` + more + `}` }
	for _, tt := range []struct{ name, app, says string }{
		{"project", fcm(`param: ` + pushsim.ProjectID + `, fcm: {service_account_file: fcm.json, project: ` + pushsim.ProjectID + `}`), ""},
		{"any project", fcm(`param: "*", fcm: {service_account_file: fcm.json}`), ""},
		{"number of a project", fcm(`param: "1234567", fcm: {service_account_file: fcm.json}`), ""},
		{"own provider", fcm(`provider: acme, param: "x", fcm: {service_account_file: fcm.json}`), ""},
		{"key of another project", fcm(`param: other, fcm: {service_account_file: fcm.json}`), `push.apps[android].param: is "other", the credential of project "demo-project"`},
		{"other project", fcm(`fcm: {service_account_file: fcm.json, project: other}`), `push.apps[android].fcm.project: is "other", the service account in `},
		{"certificate", r.apnsApp("p12_file: long.p12"), ""},
		{"certificate that ends soon", r.apnsApp("p12_file: soon.p12"), "soon.p12 expires on "},
		{"certificate that has ended", r.apnsApp("p12_file: ended.p12"), "ended.p12 expired on "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, left := range map[string]time.Duration{"long.p12": 31 * 24 * time.Hour, "soon.p12": 29 * 24 * time.Hour, "ended.p12": -time.Hour} {
				if strings.Contains(tt.app, name) {
					r.file(name, certificate(left))
				}
			}
			cfg := r.config(`push: {apps: [` + tt.app + `]}`)
			if err := Check(cfg); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(Warnings(cfg), "\n")
			if (tt.says == "") != (got == "") || !strings.Contains(got, tt.says) {
				t.Errorf("Warnings = %q, want %q", got, tt.says)
			}
		})
	}
}
