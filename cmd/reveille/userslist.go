package main

import (
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
)

// A listedUser is a user of the users file, for programs.
type listedUser struct {
	Name  string `json:"name"`
	Realm string `json:"realm"`
	// Proof says what is kept of the password: password, ha1_md5, ha1_sha256,
	// ha1_sha512_256.
	Proof       []string       `json:"proof"`
	AORs        []string       `json:"aors,omitempty"`
	MaxContacts int            `json:"max_contacts,omitempty"`
	DisplayName string         `json:"display_name,omitempty"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
}

func (p program) usersListCommand() *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users of the users file",
		Args:  exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			users, err := p.listUsers(t)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(p.stdout, map[string][]listedUser{"users": users})
			}
			list := newTable("NAME", "REALM", "KEPT", "FURTHER ADDRESSES", "PHONES", "DISPLAY NAME", "NETWORKS")
			for _, u := range users {
				phones, networks := "", make([]string, len(u.Networks))
				if u.MaxContacts > 0 {
					phones = counted(u.MaxContacts, "phone")
				}
				for i, n := range u.Networks {
					networks[i] = n.String()
				}
				list.add(u.Name, u.Realm, strings.Join(u.Proof, " "), strings.Join(u.AORs, " "), phones, u.DisplayName, strings.Join(networks, " "))
			}
			return p.printTable(list, "the users file has no users")
		},
	}
	configFlag(cmd, &t)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// listUsers reads the users file.
func (p program) listUsers(t target) ([]listedUser, error) {
	cfg, path, err := p.usersFileOf(t)
	if err != nil {
		return nil, err
	}
	f, err := readUsers(cfg, path)
	if err != nil {
		return nil, err
	}
	users := []listedUser{} // An empty list, not null, for programs that read it.
	for i := range f.accounts {
		a := &f.accounts[i]
		u := listedUser{Name: a.Name, Realm: f.realmOf(a), Proof: []string{}, AORs: a.AORs, MaxContacts: a.MaxContacts, DisplayName: a.DisplayName, Networks: a.Networks}
		for j, text := range []string{a.Password, a.HA1MD5, a.HA1SHA256, a.HA1SHA512256} {
			if text != "" {
				u.Proof = append(u.Proof, proofKeys()[j])
			}
		}
		users = append(users, u)
	}
	return users, nil
}
