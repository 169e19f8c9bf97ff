"""Prints the names of the objects that a URL lists, one a line. usage: objects.py URL"""

import re
import sys
import urllib.request

listing = urllib.request.urlopen(sys.argv[1]).read().decode()
print("\n".join(re.findall(r"(?:<Blob><Name>|<Key>)([^<]*)<", listing)))
