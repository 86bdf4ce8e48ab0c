from pathlib import Path
def pinned(home, name): return None
def folder_md5(f): return ''
