package purr

import (
	"bytes"
	"encoding/base32"
	"strings"
	"testing"
)

var oracle = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

func FuzzBase32(f *testing.F) {
	for _, s := range []string{"", "\x00", "f", "fo", "foo", "foob", "fooba", "foobar", "\xff\xff\xff"} {
		f.Add([]byte(s), oracle.EncodeToString([]byte(s)))
	}
	f.Add([]byte("x"), "0v")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		enc := string(appendEncoded(nil, raw))
		if want := oracle.EncodeToString(raw); enc != want || len(enc) != encodedLen(len(raw)) {
			t.Errorf("appendEncoded(%x) = %q, want %q", raw, enc, want)
		}
		if got, ok := appendDecoded(nil, enc); !ok || !bytes.Equal(got, raw) || decodedLen(len(enc)) != len(raw) {
			t.Errorf("appendDecoded(%q) = %x, %v, want %x", enc, got, ok, raw)
		}
		// One spelling only: what decodes encodes to itself.
		if got, ok := appendDecoded(nil, text); ok {
			if again := string(appendEncoded(nil, got)); again != strings.ToLower(text) {
				t.Errorf("%q decodes to %x, which encodes to %q", text, got, again)
			}
		}
	})
}

func TestAppendDecoded_OtherSpellings(t *testing.T) {
	for _, s := range []string{"0", "01", "0v", "w0", "0=", "0 0", "00\n", "000", "é0"} {
		if got, ok := appendDecoded(nil, s); ok {
			t.Errorf("appendDecoded(%q) = %x, want none", s, got)
		}
	}
}
