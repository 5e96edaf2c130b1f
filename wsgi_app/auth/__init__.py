"""Who is asking, and what for: from a request to the tenant that is billed and isolated."""

from wsgi_app.auth.choice import Authenticator as Authenticator
from wsgi_app.auth.choice import make_authenticator as make_authenticator
from wsgi_app.auth.development import DEVELOPMENT_TOKEN as DEVELOPMENT_TOKEN
from wsgi_app.auth.development import DevelopmentMode as DevelopmentMode
from wsgi_app.auth.local import check_rebinding as check_rebinding
from wsgi_app.auth.local import is_local as is_local
from wsgi_app.auth.refusals import demand_scope as demand_scope
from wsgi_app.auth.site_login import Authenticate as Authenticate
from wsgi_app.auth.site_login import LoginFailed as LoginFailed
from wsgi_app.auth.site_login import check_origin as check_origin
from wsgi_app.tokens import Principal as Principal
from wsgi_app.tokens import hash_token as hash_token
from wsgi_app.tokens import make_token as make_token
