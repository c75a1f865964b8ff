package proxy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// This file reads what a device says of itself, and what a caller wants of one: feature
// tags in the parameters of Contact, Accept-Contact and Reject-Contact (RFC 3840 §5, RFC
// 3841 §8).

// A feature is a feature tag and the values that are given for it, of which one is
// enough. The name is in lower case and without the plus.
type feature struct {
	name   string
	values []featureValue
}

// A featureValue is a token, a string in angle brackets, or a range of numbers.
type featureValue struct {
	text string
	// str: text is a string, whose case counts; not: everything but text.
	str, not bool
	// number: a number from low to high.
	number    bool
	low, high float64
}

// baseTag reports whether a parameter of that name is a feature tag without a plus
// (RFC 3841 §7.2.3).
func baseTag(name string) bool {
	switch name {
	case "audio", "automata", "class", "duplex", "data", "control", "mobility", "description", "events", "priority", "methods",
		"schemes", "application", "video", "actor", "language", "isfocus", "type", "extensions", "text":
		return true
	}
	return false
}

// What is beyond these bounds is not read: strangers write it, and each tag is compared
// with each, as is each value. RFC 3840 §9 has 21 tags, and there are as many methods.
const (
	maxFeatures      = 64
	maxFeatureValues = 64
)

// features returns the feature tags among parameters. Other parameters, such as q, are
// none.
func features(p sipmsg.Params) []feature {
	var list []feature
	for name, value := range p.All() {
		if len(list) == maxFeatures {
			break
		}
		name = strings.ToLower(name)
		tag, plus := strings.CutPrefix(name, "+")
		if !plus && !baseTag(name) || slices.ContainsFunc(list, func(f feature) bool { return f.name == tag }) {
			continue
		}
		list = append(list, feature{tag, featureValues(sipmsg.Unquote(value))})
	}
	return list
}

// featureValues reads the value of a feature tag. Without one it stands for true.
func featureValues(s string) []featureValue {
	if s == "" {
		return []featureValue{{text: "TRUE"}}
	}
	if strings.HasPrefix(s, "<") {
		// A string stands alone, and may hold commas.
		return []featureValue{{text: strings.TrimSuffix(s[1:], ">"), str: true}}
	}
	var values []featureValue
	for v := range strings.SplitSeq(s, ",") {
		if len(values) == maxFeatureValues {
			break
		}
		v = strings.TrimSpace(v)
		one := featureValue{}
		if v, one.not = strings.CutPrefix(v, "!"); strings.HasPrefix(v, "#") {
			if one.low, one.high, one.number = numbers(v[1:]); !one.number {
				continue
			}
		}
		one.text = v
		values = append(values, one)
	}
	return values
}

// numbers reads =4, >=4, <=4 or 4:8.
func numbers(s string) (low, high float64, ok bool) {
	read := func(s string) (n float64) {
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		ok = ok && err == nil && !math.IsNaN(n)
		return n
	}
	ok = true
	if from, to, both := strings.Cut(s, ":"); both {
		return read(from), read(to), ok
	}
	if n, least := strings.CutPrefix(s, ">="); least {
		return read(n), math.Inf(1), ok
	}
	if n, most := strings.CutPrefix(s, "<="); most {
		return math.Inf(-1), read(n), ok
	}
	n, is := strings.CutPrefix(s, "=")
	low = read(n)
	return low, low, ok && is
}

// meets reports whether something may be both v and w (RFC 2533 §4).
func (v featureValue) meets(w featureValue) bool {
	switch {
	case v.number != w.number || v.str != w.str:
		// What is of another kind is something else.
		return v.not || w.not
	case v.not && w.not:
		return true
	}
	same := strings.EqualFold(v.text, w.text)
	switch {
	case v.number:
		same = v.low <= w.high && w.low <= v.high
		if v.not || w.not {
			// Within the range that is ruled out there is nothing left.
			in, out := v, w
			if v.not {
				in, out = w, v
			}
			return in.low < out.low || in.high > out.high
		}
	case v.str:
		same = v.text == w.text
	}
	return same != (v.not || w.not)
}

// find returns the feature of that name.
func find(list []feature, name string) (f feature, ok bool) {
	i := slices.IndexFunc(list, func(f feature) bool { return f.name == name })
	if i < 0 {
		return feature{}, false
	}
	return list[i], true
}

// matches reports whether a device with such features may be what is wanted: of each
// wanted feature that it speaks of, one of its values is among those that are wanted. ok
// counts those.
func matches(wanted, has []feature) (match bool, ok int) {
	match = true
	for _, w := range wanted {
		h, said := find(has, w.name)
		if !said {
			continue
		}
		ok++
		match = match && slices.ContainsFunc(w.values, func(v featureValue) bool { return slices.ContainsFunc(h.values, v.meets) })
	}
	return match, ok
}
