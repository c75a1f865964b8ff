package configs

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Changes are the keys whose values differ between two configurations. List
// entries with a name are called by it: "push.apps[ios].param". No values are
// held: some are secret.
type Changes struct {
	// Reload can be changed while the server runs.
	Reload []string
	// Restart cannot: the server must be started anew.
	Restart []string
}

// Empty reports whether nothing differs.
func (c Changes) Empty() bool { return len(c.Reload) == 0 && len(c.Restart) == 0 }

// Compare returns what differs between the configuration in use and the next
// one. It looks at the configuration alone: that a file named by both has new
// contents does not show, so a reload rereads credentials in any case.
func Compare(current, next *Config) Changes {
	var c Changes
	c.compare(reflect.ValueOf(current).Elem(), reflect.ValueOf(next).Elem(), "", false)
	return c
}

func (c *Changes) add(path string, restart bool) {
	if restart {
		c.Restart = append(c.Restart, path)
	} else {
		c.Reload = append(c.Reload, path)
	}
}

func (c *Changes) compare(a, b reflect.Value, path string, restart bool) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch {
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil():
		c.compare(a.Elem(), b.Elem(), path, restart)
	case a.Kind() == reflect.Struct && !isScalar(a.Type()):
		for i := range a.NumField() {
			f := a.Type().Field(i)
			sub := restart
			switch tag := f.Tag.Get("restart"); {
			case tag == "yes":
				sub = true
			case tag == "no" && bothOrNone(a.Field(i), b.Field(i)):
				sub = false
			}
			c.compare(a.Field(i), b.Field(i), join(path, f.Tag.Get("yaml")), sub)
		}
	case a.Kind() == reflect.Slice && isNamed(a.Type().Elem()):
		c.compareNamed(a, b, path, restart)
	default:
		c.add(path, restart)
	}
}

// addable reports whether entry can be added to list while the server runs, although
// what is in it cannot be changed: a listener on an address of its own.
func addable(list, entry reflect.Value) bool {
	all, ok := reflect.TypeAssert[[]Listen](list)
	next, _ := reflect.TypeAssert[Listen](entry)
	return ok && !slices.ContainsFunc(all, func(l Listen) bool {
		same := l.Addr == next.Addr && (l.Transport == UDP) == (next.Transport == UDP)
		// Port 0 is another one each time.
		return l.Name == next.Name || same && !strings.HasSuffix(l.Addr, ":0")
	})
}

// bothOrNone reports whether both groups are set, or neither is. What is no group
// always is.
func bothOrNone(a, b reflect.Value) bool {
	return a.Kind() != reflect.Pointer || a.IsNil() == b.IsNil()
}

// isNamed reports whether list entries of type t are known by a name.
func isNamed(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	_, ok := t.FieldByName("Name")
	return ok
}

// compareNamed compares lists whose entries have unique names.
func (c *Changes) compareNamed(a, b reflect.Value, path string, restart bool) {
	index := func(v reflect.Value) (map[string]reflect.Value, []string) {
		m, order := map[string]reflect.Value{}, []string{}
		for i := range v.Len() {
			name := v.Index(i).FieldByName("Name").String()
			m[name], order = v.Index(i), append(order, name)
		}
		return m, order
	}
	was, oldOrder := index(a)
	is, newOrder := index(b)
	names := append(slices.Clone(oldOrder), newOrder...)
	sort.Strings(names)
	for _, name := range slices.Compact(names) {
		at := fmt.Sprintf("%s[%s]", path, name)
		switch before, after := was[name], is[name]; {
		case before.IsValid() && after.IsValid():
			c.compare(before, after, at, restart)
		case !before.IsValid() && addable(a, after):
			c.add(at, false)
		default:
			c.add(at, restart)
		}
	}
	kept := func(order []string) []string {
		return slices.DeleteFunc(order, func(name string) bool { return !was[name].IsValid() || !is[name].IsValid() })
	}
	if !slices.Equal(kept(oldOrder), kept(newOrder)) {
		c.add(path+" (order)", restart)
	}
}

// Merge returns next with the values of current for every key that needs a
// restart: what a running server can take over. Neither argument is changed.
func Merge(current, next *Config) *Config {
	merged := *next
	merge(reflect.ValueOf(current).Elem(), reflect.ValueOf(&merged).Elem())
	return &merged
}

func merge(from, to reflect.Value) {
	for i := range to.NumField() {
		f := to.Type().Field(i)
		switch {
		case f.Tag.Get("restart") != "" && f.Type.Kind() == reflect.Slice && isNamed(f.Type.Elem()):
			to.Field(i).Set(mergeNamed(from.Field(i), to.Field(i)))
		case f.Tag.Get("restart") != "":
			to.Field(i).Set(from.Field(i))
		case f.Type.Kind() == reflect.Struct:
			merge(from.Field(i), to.Field(i))
		}
	}
}

// mergeNamed returns the list from, whose entries have names, with the values of
// to for the keys that need no restart although the list does, and behind them the
// entries that only to has and that can be added. An entry that has such a group in one
// of the two only keeps what it has.
func mergeNamed(from, to reflect.Value) reflect.Value {
	list := reflect.MakeSlice(from.Type(), from.Len(), from.Len())
	reflect.Copy(list, from)
	for i := range list.Len() {
		entry := list.Index(i)
		for j := range to.Len() {
			next := to.Index(j)
			if next.FieldByName("Name").String() != entry.FieldByName("Name").String() {
				continue
			}
			for k := range entry.NumField() {
				if entry.Type().Field(k).Tag.Get("restart") == "no" && bothOrNone(entry.Field(k), next.Field(k)) {
					entry.Field(k).Set(next.Field(k))
				}
			}
		}
	}
	for j := range to.Len() {
		if next := to.Index(j); addable(from, next) {
			list = reflect.Append(list, next)
		}
	}
	return list
}
