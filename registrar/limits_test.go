package registrar

import (
	"slices"
	"strings"
	"testing"

	"reveille/usrloc"
)

func TestApply_Limits(t *testing.T) {
	long := strings.Repeat("x", 2048)
	tests := []struct {
		name   string
		change func(*Input)
		status int // 0: accepted
	}{
		{"as it should be", func(*Input) {}, 0},
		{"user at the limit", func(in *Input) { in.AOR = usrloc.AOR("sip:" + long[:64] + "@example.com") }, 0},
		{"user too long", func(in *Input) { in.AOR = usrloc.AOR("sip:" + long[:65] + "@example.com") }, 400},
		{"domain at the limit", func(in *Input) { in.AOR = usrloc.AOR("sip:a@" + long[:64]) }, 0},
		{"domain too long", func(in *Input) { in.AOR = usrloc.AOR("sip:a@" + long[:65]) }, 400},
		{"no AOR", func(in *Input) { in.AOR = "" }, 400},
		{"AOR without host", func(in *Input) { in.AOR = "sip:a@" }, 400},
		{"AOR without user", func(in *Input) { in.AOR = "sip:example.com" }, 0},
		{"Call-ID too long", func(in *Input) { in.CallID = long[:513] }, 400},
		{"control character in Call-ID", func(in *Input) { in.CallID = "a\nb" }, 400},
		{"control character in User-Agent", func(in *Input) { in.UserAgent = "a\r\nb" }, 400},
		{"contact at the limit", func(in *Input) { in.Contacts[0].URI = "sip:" + long[:2044] }, 0},
		{"contact too long", func(in *Input) { in.Contacts[0].URI = "sip:" + long[:2045] }, 400},
		{"contact too long with its parameters", func(in *Input) { in.Contacts[0].Params = ";" + long }, 400},
		{"contact without URI", func(in *Input) { in.Contacts[0].URI = "" }, 400},
		{"angle bracket in URI", func(in *Input) { in.Contacts[0].URI = "sip:a@h>;x" }, 400},
		{"line end in URI", func(in *Input) { in.Contacts[0].URI = "sip:a@h\r\nX: y" }, 400},
		{"line end in parameters", func(in *Input) { in.Contacts[0].Params = ";x\r\nX: y" }, 400},
		{"tab in parameters", func(in *Input) { in.Contacts[0].Params = ";\tx" }, 0},
		{"instance too long", func(in *Input) { in.Contacts[0].Instance = long[:513] }, 400},
		{"too many path values", func(in *Input) { in.Path = slices.Repeat([]string{"<sip:p>"}, 17) }, 400},
		{"path too long", func(in *Input) { in.Path = []string{long, "x"} }, 400},
		{"line end in path", func(in *Input) { in.Path = []string{"<sip:p>\r\n"} }, 400},
		{"too many contacts", func(in *Input) { in.Contacts = slices.Repeat(in.Contacts, 101) }, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			in := w.input("one", 1, "<sip:a@h>")
			tt.change(in)
			_, err := w.apply(in)
			if tt.status == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantRefusal(t, err, tt.status)
		})
	}
}

func TestApply_AORLimit(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.MaxAOR = 20 })
	in := w.input("one", 1)
	in.AOR = "sip:alice@example.com" // 21 bytes
	_, err := w.apply(in)
	wantRefusal(t, err, 400)
	in.AOR = "sip:alic@example.com"
	if _, err := w.apply(in); err != nil {
		t.Error(err)
	}
}
