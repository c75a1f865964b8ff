package tlscert

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reveille/internal/tlscert/certtest"
)

func TestPair_Load(t *testing.T) {
	a := certtest.New(t)
	dir := t.TempDir()
	cert, key := certtest.Write(t, dir, "good", a.Issue("sip.example.com"))
	_, other := certtest.Write(t, dir, "other", a.Issue("sip.example.com"))
	file := func(name string, parts ...[]byte) string {
		name = filepath.Join(dir, name)
		var all []byte
		for _, p := range parts {
			all = append(all, p...)
		}
		certtest.WriteFile(t, name, all)
		return name
	}
	content := func(name string) []byte {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	both := file("both.pem", content(key), content(cert))
	chain := file("chain.pem", content(cert), a.PEM())
	turned := file("turned.pem", a.PEM(), content(cert))
	empty := file("empty.pem")
	locked := file("locked.key", []byte(strings.ReplaceAll(string(content(key)), "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")))
	old := file("old.key", []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	damaged := file("damaged.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	none := filepath.Join(dir, "none")
	for _, tc := range []struct {
		name  string
		pair  Pair
		fault string // file at fault and what is wrong; empty: none
		mend  string
	}{
		{name: "two files", pair: Pair{cert, key}},
		{name: "one file", pair: Pair{CertFile: both}},
		{name: "with the authority", pair: Pair{chain, key}},
		{name: "no certificate file", pair: Pair{none, key}, fault: none + " cannot be read: no such file or directory"},
		{name: "no key file", pair: Pair{cert, none}, fault: none + " cannot be read: no such file or directory"},
		{name: "no certificate", pair: Pair{key, key}, fault: key + " holds no PEM certificate"},
		{name: "empty", pair: Pair{empty, key}, fault: empty + " holds no PEM certificate"},
		{name: "no key", pair: Pair{cert, cert}, fault: cert + " holds no PEM private key"},
		{name: "no key in one file", pair: Pair{CertFile: cert}, fault: cert + " holds no PEM private key"},
		{name: "key of another certificate", pair: Pair{cert, other}, fault: other + " is not the key of the certificate in " + cert, mend: "requested with"},
		{name: "authority before the certificate", pair: Pair{turned, key}, fault: key + " is not the key of the certificate in " + turned, mend: "the server's own comes first"},
		{name: "passphrase", pair: Pair{cert, locked}, fault: locked + " is encrypted with a passphrase", mend: "openssl pkey -in " + locked},
		{name: "old kind of passphrase", pair: Pair{cert, old}, fault: old + " is encrypted with a passphrase", mend: "openssl"},
		{name: "damaged", pair: Pair{damaged, key}, fault: damaged + " cannot be used with " + key},
		{name: "folder", pair: Pair{dir, key}, fault: dir + " is no file of certificates or keys"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.pair.Load()
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var f *Fault
			if !errors.As(err, &f) || !strings.HasPrefix(err.Error(), tc.fault) || !strings.Contains(f.Mend, tc.mend) {
				t.Errorf("Load = %v, want %q and %q", err, tc.fault, tc.mend)
			}
		})
	}
}

func TestUnreadable_SaysWhoMustRead(t *testing.T) {
	err := unreadable("/etc/x.key", &fs.PathError{Op: "open", Path: "/etc/x.key", Err: syscall.EACCES})
	want := "/etc/x.key cannot be read: permission denied; the user that runs the server must be able to read it"
	if err.Error() != want {
		t.Errorf("unreadable = %q, want %q", err, want)
	}
}

func TestLoadPool(t *testing.T) {
	dir := t.TempDir()
	a, b := certtest.New(t), certtest.New(t)
	both := filepath.Join(dir, "both.pem")
	certtest.WriteFile(t, both, append(a.PEM(), b.PEM()...))
	pool, err := LoadPool(both)
	if err != nil {
		t.Fatal(err)
	}
	want := a.Pool()
	want.AppendCertsFromPEM(b.PEM())
	if !pool.Equal(want) {
		t.Error("the pool does not hold the two authorities")
	}
	for name, data := range map[string]string{"holds no PEM certificate": "text", "holds a damaged certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		file := filepath.Join(dir, "bad.pem")
		certtest.WriteFile(t, file, []byte(data))
		if _, err := LoadPool(file); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("LoadPool = %v, want %q", err, name)
		}
	}
}
