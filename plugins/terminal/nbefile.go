package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ids of the planned effects on files.
const (
	effectBackup = "backup"
	effectCopy   = "copy"
	effectEdit   = "edit"
	effectRemove = "remove"
)

const (
	// backups are the names of earlier nbe.toml, for a capability.
	backups = bleservice.ConfigFile + ".*.bak"
	// shortHash is how much of a file's SHA-256 is in the name of its backup.
	shortHash = 12
)

// nbe is what was read of the endpoint's folder.
type nbe struct {
	// file is nbe.toml, defaults the vendor's nbe.default.toml. Either may not exist.
	file, defaults *actionv1.ConfigState
}

func readNBE(ctx context.Context, r *sdk.Run) (nbe, error) {
	file, err := readTOML(ctx, r, bleservice.ConfigFile)
	if err != nil {
		return nbe{}, err
	}
	defaults, err := readTOML(ctx, r, bleservice.TemplateFile)
	return nbe{file, defaults}, err
}

func readTOML(ctx context.Context, r *sdk.Run, name string) (*actionv1.ConfigState, error) {
	return r.Config(ctx, bleservice.Root, name, actionv1.ConfigFormat_CONFIG_FORMAT_TOML)
}

// backupName is where an nbe.toml is kept: named by its content, so that a plan says the same twice and nothing is kept twice.
func backupName(file *actionv1.ConfigState) string {
	hash := file.GetSha256()
	return fmt.Sprintf("%s.%s.bak", bleservice.ConfigFile, hash[:min(shortHash, len(hash))])
}

// planBackup plans to keep nbe.toml, unless there is none or it is kept already.
func planBackup(ctx context.Context, r *sdk.Run, file *actionv1.ConfigState) ([]*actionv1.PlannedEffect, error) {
	if !file.GetExists() || !r.Bool("backup") {
		return nil, nil
	}
	name := backupName(file)
	kept, err := readTOML(ctx, r, name)
	if err != nil {
		return nil, err
	}
	r.Evidence("earlier nbe.toml", "%s", name)
	if kept.GetExists() && kept.GetSha256() == file.GetSha256() {
		return nil, nil
	}
	effect := sdk.FileCopy(bleservice.Root, bleservice.ConfigFile, name, file.GetSha256())
	return []*actionv1.PlannedEffect{sdk.Planned(effectBackup, effect, describeFile(kept), "the present nbe.toml, kept as "+name)}, nil
}

// planCopy plans to make nbe.toml from another file of the folder. keepKeys keep their present value.
func planCopy(file, from *actionv1.ConfigState, keepKeys ...string) *actionv1.PlannedEffect {
	after := "a copy of " + from.GetPath()
	if len(keepKeys) > 0 {
		after += " that keeps " + strings.Join(keepKeys, ", ")
	}
	return sdk.Planned(effectCopy,
		sdk.FileCopy(bleservice.Root, from.GetPath(), bleservice.ConfigFile, from.GetSha256(), keepKeys...), describeFile(file), after)
}

// planEdit plans to give keys of nbe.toml these values; nil when they have them. base is what nbe.toml holds when it is edited.
func planEdit(base *actionv1.ConfigState, wanted map[string]string) *actionv1.PlannedEffect {
	var changes []*actionv1.ConfigChange
	var before, after []string
	for _, key := range allKeys() {
		text, asked := wanted[key]
		present, there := textOf(base, key)
		if !asked || there && same(present, text) {
			continue
		}
		changes = append(changes, sdk.Change(key, pointer(base, key), &text))
		before = append(before, key+" = "+inWords(base, key))
		after = append(after, key+" = "+text)
	}
	if len(changes) == 0 {
		return nil
	}
	effect := sdk.ConfigEdit(bleservice.Root, bleservice.ConfigFile, actionv1.ConfigFormat_CONFIG_FORMAT_TOML, changes...)
	return sdk.Planned(effectEdit, effect, strings.Join(before, ", "), strings.Join(after, ", "))
}

func describeFile(c *actionv1.ConfigState) string {
	if !c.GetExists() {
		return "no " + c.GetPath()
	}
	hash := c.GetSha256()
	return fmt.Sprintf("%s (sha256 %s)", c.GetPath(), hash[:min(shortHash, len(hash))])
}

// notKeepable refuses an nbe.toml that is so large that nobody can say what it is, nil when there is none or it is not.
func notKeepable(file *actionv1.ConfigState) *actionv1.Plan {
	if !file.GetExists() || file.GetSha256() != "" {
		return nil
	}
	return sdk.Refuse(fmt.Sprintf("nbe.toml cannot be kept: it %s", file.GetMalformed()), "look at it on the terminal, move it away, then run this again")
}

// unusable refuses a file that is not there or cannot be read, nil when it can be.
func unusable(c *actionv1.ConfigState, nextStep string) *actionv1.Plan {
	switch {
	case !c.GetExists():
		return sdk.Refuse(fmt.Sprintf("there is no %s in the endpoint's folder", c.GetPath()), nextStep)
	case c.GetMalformed() != "":
		return sdk.Refuse(fmt.Sprintf("%s cannot be read: %s", c.GetPath(), c.GetMalformed()), nextStep)
	}
	return nil
}
