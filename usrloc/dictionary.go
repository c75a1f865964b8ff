package usrloc

// A dictionary numbers strings that many bindings have in common: User-Agent,
// the listener's name, Path. It takes the first maxWords strings that it sees
// and forgets none; others are stored in each binding. So its size has a bound,
// whatever devices send. A nil dictionary knows nothing and takes nothing. It
// is not safe for concurrent use.
type dictionary struct {
	numbers map[string]uint32
	words   []string
}

const (
	maxWords   = 512
	maxWordLen = 128
)

// number returns the number of s and whether it has one.
func (d *dictionary) number(s string) (uint32, bool) {
	if d == nil || s == "" || len(s) > maxWordLen {
		return 0, false
	}
	if n, ok := d.numbers[s]; ok {
		return n, true
	}
	if len(d.words) == maxWords {
		return 0, false
	}
	if d.numbers == nil {
		d.numbers = make(map[string]uint32)
	}
	s = string([]byte(s)) // s may be a small part of a large message
	n := uint32(len(d.words))
	d.numbers[s] = n
	d.words = append(d.words, s)
	return n, true
}

// word returns the string with number n.
func (d *dictionary) word(n uint64) (string, bool) {
	if d == nil || n >= uint64(len(d.words)) {
		return "", false
	}
	return d.words[n], true
}
