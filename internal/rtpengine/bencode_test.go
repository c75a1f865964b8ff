package rtpengine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBencode_Values(t *testing.T) {
	tests := []struct {
		name, wire string
		value      any
	}{
		{"string", "4:spam", "spam"},
		{"empty string", "0:", ""},
		{"binary", "3:\x00e:", "\x00e:"},
		{"number", "i42e", int64(42)},
		{"negative", "i-7e", int64(-7)},
		{"zero", "i0e", int64(0)},
		{"list", "l4:spami1ee", []any{"spam", int64(1)}},
		{"empty list", "le", []any{}},
		{"dictionary", "d3:cow3:moo4:spaml1:a1:bee", dict{"cow": "moo", "spam": []any{"a", "b"}}},
		{"empty dictionary", "de", dict{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(appendValue(nil, tt.value)); got != tt.wire {
				t.Errorf("appendValue = %q, want %q", got, tt.wire)
			}
			got, err := parseValue(tt.wire)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.value, got); d != "" {
				t.Error(d)
			}
		})
	}
	t.Run("keys in any order", func(t *testing.T) {
		// As engines write them.
		got, err := parseValue("d3:sdp1:x6:result2:oke")
		if d := cmp.Diff(any(dict{"sdp": "x", "result": "ok"}), got); d != "" || err != nil {
			t.Error(d, err)
		}
	})
}

func TestBencode_Malformed(t *testing.T) {
	for _, wire := range []string{
		"", "x", "e", "4:spa", "-1:a", "04:spam", "4spam", "99999999999999999999:a", "9223372036854775807:a",
		"i", "ie", "i1", "i01e", "i-0e", "i+1e", "i1.5e", "i99999999999999999999e",
		"l", "l1:a", "d", "d1:a", "d1:ae", "di1e1:ae", "d1:a1:b1:a1:ce", "d1:a1:b", "1:ab", "dee",
		strings.Repeat("l", 20) + strings.Repeat("e", 20),
	} {
		if v, err := parseValue(wire); err == nil {
			t.Errorf("parseValue(%q) = %v, want an error", wire, v)
		}
	}
}

// FuzzBencode: what is read is written as it was read, but for the order of keys.
func FuzzBencode(f *testing.F) {
	for _, s := range []string{"d6:result4:ponge", "d3:sdp5:v=0\r\n6:result2:oke", "l4:spami-1ee", "d1:ald1:bi0eeee", "i01e", "3:ab"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		v, err := parseValue(wire)
		if err != nil {
			return
		}
		once := string(appendValue(nil, v))
		if len(once) != len(wire) {
			t.Fatalf("%q was written as %q", wire, once)
		}
		again, err := parseValue(once)
		if err != nil || !cmp.Equal(v, again) {
			t.Fatalf("%q was read as %v, then as %v, %v", wire, v, again, err)
		}
	})
}
