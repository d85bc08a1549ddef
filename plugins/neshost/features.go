package neshost

// InstallProfile stands for all features that NES needs to be installed.
const InstallProfile = "profile:nes-install"

// FeatureNames lists the features of Windows that NES needs, by Server Manager's names (guide: IIS features; ASP.NET, ISAPI extensions
// and filters).
func FeatureNames() []string { return []string{"Web-Asp-Net45", "Web-ISAPI-Ext", "Web-ISAPI-Filter"} }

// FeatureIDs returns the optional features of Windows, as dism names them, that a feature of Server Manager stands for; those that it needs
// are added with it. Nothing is returned for one that is not on the list.
func FeatureIDs(name string) []string {
	switch name {
	case "Web-Asp-Net45":
		return []string{"NetFx4Extended-ASPNET45", "IIS-ASPNET45"}
	case "Web-ISAPI-Ext":
		return []string{"IIS-ISAPIExtensions"}
	case "Web-ISAPI-Filter":
		return []string{"IIS-ISAPIFilter"}
	default:
		return nil
	}
}

// AllFeatureIDs returns those of the whole list.
func AllFeatureIDs() []string {
	var ids []string
	for _, name := range FeatureNames() {
		ids = append(ids, FeatureIDs(name)...)
	}
	return ids
}
