package configs

import (
	"regexp"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"0", 0, true},
		{"30s", 30 * time.Second, true},
		{"1h30m", 90 * time.Minute, true},
		{"30d", 30 * day, true},
		{"1d12h", 36 * time.Hour, true},
		{"-5s", -5 * time.Second, true},
		{"1d-12h", 0, false},
		{"1d2d", 0, false},
		{"-1d", 0, false},
		{"1.5d", 0, false},
		{"100000d", 0, false},
		{"30", 0, false},
		{"", 0, false},
		{"d", 0, false},
		{"1 h", 0, false},
	}
	pattern := regexp.MustCompile(durationPattern)
	for _, tt := range tests {
		got, err := parseDuration(tt.text)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v, ok %t", tt.text, got, err, tt.want, tt.ok)
		}
		if matches := pattern.MatchString(tt.text); matches != (tt.ok && tt.want >= 0) {
			t.Errorf("the schema's pattern matches %q: %t", tt.text, matches)
		}
		if tt.ok {
			if again, err := parseDuration(formatDuration(got)); err != nil || again != got {
				t.Errorf("parseDuration(formatDuration(%v)) = %v, %v", got, again, err)
			}
		}
	}
}

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"kitten", "sitting", 3},
		{"listen", "lisen", 1},
		{"ab", "ba", 1},
	}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	candidates := []string{"max_conns", "max_conns_per_source", "keepalive"}
	tests := []struct{ word, want string }{
		{"max_con", `did you mean "max_conns"?`},
		{"keep_alive", `did you mean "keepalive"?`},
		{"zzz", "known here: max_conns, max_conns_per_source, keepalive"},
	}
	for _, tt := range tests {
		if got := suggest(tt.word, candidates); got != tt.want {
			t.Errorf("suggest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
	if got := suggest("x", nil); got != "" {
		t.Errorf("suggest without candidates = %q", got)
	}
	if got := suggest("zzz", make([]string, 17)); got != "" {
		t.Errorf("suggest with too many candidates to list = %q", got)
	}
}
