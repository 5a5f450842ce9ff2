// A folder without sources yet is still a library: the arrows stay where they are written.
