"""Who asks: the user of the bearer token, who must be the path's."""

import os
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_SECRET = os.environ["BETTER_AUTH_SECRET"]


async def owner(user_id: str, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Return the user's id; 401 without a good token, 403 where the path is another's."""
    try:
        claims = jwt.decode(credentials.credentials, _SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
    if claims["sub"] != user_id:
        raise HTTPException(403, "Access denied: Cannot access other user's resources")
    return user_id


Owner = Annotated[str, Depends(owner)]
