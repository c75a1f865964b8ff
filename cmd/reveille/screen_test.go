package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

// quiet swallows what HTTP servers of tests log.
var quiet = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// clientCertificate makes a certificate and its key, and returns their files.
func clientCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), file(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})))
}

func TestTable(t *testing.T) {
	list := newTable("USER", "STATE", "SINCE")
	list.add("sip:alice@example.com", cell{"well", green}, 3)
	list.add("sip:愛麗絲\x1b[2J@example.com", "", 12)
	for _, tt := range []struct {
		name   string
		screen screen
		env    string
		want   string
	}{
		{"a pipe", screen{}, "", "" +
			"USER                        STATE  SINCE\n" +
			"sip:alice@example.com       well   3\n" +
			"sip:愛麗絲?[2J@example.com  -      12\n"},
		{"a narrow terminal", screen{width: 30}, "", "" +
			"USER              STATE  SINCE\n" +
			"sip:alice@examp…  well   3\n" +
			"sip:愛麗絲?[2J@…  -      12\n"},
		{"one that is too narrow", screen{width: 10}, "", "" +
			"USER      STATE  SINCE\n" +
			"sip:ali…  well   3\n" +
			"sip:愛…   -      12\n"},
		{"colours that nobody wants", screen{colours: true}, "NO_COLOR=1", "" +
			"USER                        STATE  SINCE\n" +
			"sip:alice@example.com       well   3\n" +
			"sip:愛麗絲?[2J@example.com  -      12\n"},
		{"colours", screen{colours: true, width: 30}, "", "" +
			"\x1b[1mUSER\x1b[0m              \x1b[1mSTATE\x1b[0m  \x1b[1mSINCE\x1b[0m\n" +
			"sip:alice@examp…  \x1b[32mwell\x1b[0m   3\n" +
			"sip:愛麗絲?[2J@…  -      12\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := (program{stdout: &out, screen: tt.screen, lookupEnv: environment(tt.env)}).printTable(list, ""); err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), tt.want)
			}
		})
	}
	var out strings.Builder
	if err := (program{stdout: &out}).printTable(newTable("A"), "nothing"); err != nil || out.String() != "nothing\n" {
		t.Errorf("an empty table: %q, %v", out.String(), err)
	}
	if err := (program{stdout: failingWriter{}}).printTable(list, ""); err == nil {
		t.Error("a table into a closed pipe is no error")
	}
}

// FuzzTable: no row is wider than the terminal if the columns leave that possible,
// and nothing in it speaks to the terminal.
func FuzzTable(f *testing.F) {
	f.Add("sip:alice@example.com", "愛麗絲\x1b[2J", 40)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		width = 20 + width&0x3f
		list := newTable("A", "B")
		list.add(a, b)
		var out strings.Builder
		if err := (program{stdout: &out, screen: screen{width: width}}).printTable(list, ""); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		if len(lines) != 3 || strings.ContainsAny(out.String(), "\x00\x1b\r\u009b\u2028") {
			t.Errorf("printed %q", out.String())
		}
		for _, line := range lines {
			if runewidth.StringWidth(line) > width {
				t.Errorf("%q is wider than %d", line, width)
			}
		}
	})
}

func TestPrintJSON_SpeaksToNobody(t *testing.T) {
	const hostile = "a\x1b[2J\u009b\u2028\U000e0001\x7fé"
	var out strings.Builder
	if err := printJSON(&out, map[string]string{"k": hostile}); err != nil {
		t.Fatal(err)
	}
	if visibleText(out.String()) != out.String() {
		t.Errorf("printed %q", out.String())
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back["k"] != hostile {
		t.Errorf("read back %q, %v", back["k"], err)
	}
	if err := printJSON(&out, func() {}); err == nil {
		t.Error("a function is JSON")
	}
}
